"""Progress lines and metrics of a stage while it runs. The results of stages are in ``peerkd.results``."""

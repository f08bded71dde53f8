"""The lines and numbers that describe work while it is in progress. Its results are in ``peerkd.results``."""

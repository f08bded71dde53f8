"""Progress lines and metrics of work that is in progress. ``peerkd.results`` has its results."""

"""What is told about work while it goes on. What it led to is in ``peerkd.results``."""

"""What is told about work while it goes on, in lines and in numbers. What it led to is in ``peerkd.results``."""

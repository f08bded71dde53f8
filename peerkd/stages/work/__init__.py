"""The work of stages, for which ``peerkd/stages/<name>.py`` imports ``work/<name>.py``: training, and reports."""

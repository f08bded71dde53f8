"""Automated tuning: the choice of pairs and settings to try, for a small fraction of the cost of the full sweep."""

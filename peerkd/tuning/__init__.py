"""Automated tuning: which pairs to distil and under which settings, for a small share of the full sweep's cost."""

"""Networks for images. Each architecture is a function that builds a module.

This package knows neither training nor data sets nor configs.
"""

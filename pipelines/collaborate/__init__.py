"""The pipeline ``collaborate``."""

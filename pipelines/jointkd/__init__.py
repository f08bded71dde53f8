"""The pipeline ``jointkd``."""

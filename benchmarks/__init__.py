"""Scripts that time parts of peerkd or compare its results. The package does not import them."""

"""Scripts that time parts of peerkd or compare its results. Nothing in the package knows them."""

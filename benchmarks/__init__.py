"""Scripts that time parts of peerkd. Nothing in the package knows them."""

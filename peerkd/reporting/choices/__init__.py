"""Reports on tuned studies."""

"""One training loop for PCL, for its rivals, and for the controls."""

"""A benchmark of a training step of PCL, compared with a plain step and a straightforward implementation of PCL."""

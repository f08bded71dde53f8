"""Networks for images. Each architecture is a function that builds a module. No training, no data, no config."""

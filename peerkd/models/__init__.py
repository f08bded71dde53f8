"""Networks for images, each a function that builds a module. No training, no data, no config."""

"""One loop for PCL, its rivals and their controls: networks that learn together, from labels and from each other."""

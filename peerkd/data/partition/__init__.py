"""Partitions of a data set among peers, as pure functions of label arrays. No images, no tensors, no configs."""

"""Which peer gets which samples, as pure functions on label arrays; no images, no tensors, no configs."""

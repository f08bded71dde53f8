"""The losses of online distillation, one file for each method: each turns logits into parts of a loss."""

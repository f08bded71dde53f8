"""The losses of online distillation, one file for each method: from the logits of the branches to parts of a loss."""

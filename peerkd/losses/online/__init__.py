"""The losses of online distillation: one file a method, from the logits of branches to the parts of one loss."""

"""Loops over batches: pre-training, distillation, evaluation, and the sweep. Knows tensors, no cluster and no store."""

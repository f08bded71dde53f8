"""Loops over batches: pre-training, distillation, evaluation, and the sweep. No cluster, no store."""

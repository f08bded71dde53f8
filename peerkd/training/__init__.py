"""Training and evaluation of networks: pre-training, distillation and the sweep, without cluster and store."""

"""Training and evaluation of networks: pre-training, distillation, sweeps, PCL and rounds.

This package uses neither a cluster nor the store.
"""

"""Losses on logits: pure functions of tensors. No networks, no data, no config."""

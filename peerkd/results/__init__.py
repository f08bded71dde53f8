"""Tables of results, and statistics computed from them. This package does not import torch."""

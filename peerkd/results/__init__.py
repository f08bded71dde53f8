"""Tables of results and the statistics on them. This package does not import torch."""

"""Orders as PyTorchJobs. ``client.py`` alone knows the service; everything else handles plain mappings."""

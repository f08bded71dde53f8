"""The configs of experiments, as frozen values. Nothing here imports torch, reads data, or depends on the machine."""

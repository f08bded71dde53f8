"""Images and labels: sources, the packed form, partitions, augmentation. No training, no config."""

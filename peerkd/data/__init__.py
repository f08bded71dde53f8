"""Images and labels: sources, packed and streamed data sets, partitions and augmentation. No training, no config."""

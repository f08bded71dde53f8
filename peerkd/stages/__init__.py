"""The steps of a pipeline, one file each: config in, artifact out. Here the two planes meet, and nowhere else."""

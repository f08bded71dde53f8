"""What the workers of a launched stage do, one file a stage. The ordering half is the stage's own module."""

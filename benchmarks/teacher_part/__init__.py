"""The teacher's part of what a student gains, for each transfer set, loss and target."""

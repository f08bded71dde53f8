"""A benchmark of a sweep of distillations, in peerkd and in the simpler programs that people usually write."""

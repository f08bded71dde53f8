"""A benchmark of a sweep of distillations, in peerkd and in the usual simpler ways."""

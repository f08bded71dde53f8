"""What a sweep of distillations costs as people do it first, and as peerkd does it."""

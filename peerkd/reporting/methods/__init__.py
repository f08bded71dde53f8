"""Reports on studies of methods of online distillation."""

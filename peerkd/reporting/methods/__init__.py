"""Reports on studies of methods of online distillation: findings, tables, charts and pages."""

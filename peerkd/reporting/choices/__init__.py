"""Reports on tuned studies: findings, tables, charts and pages."""

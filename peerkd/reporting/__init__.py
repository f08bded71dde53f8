"""Reports on finished experiments: findings as numbers, then as a page, a table and a few lines, without torch."""

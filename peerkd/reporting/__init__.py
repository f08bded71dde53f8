"""What is said about a finished experiment: findings as numbers, then as a page, a table and a few lines. No torch."""

"""What is said about a finished study of methods: which is better, on one page, as a table and as numbers."""

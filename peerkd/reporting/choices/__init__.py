"""What a tuned study found, in words, matrices and HTML."""

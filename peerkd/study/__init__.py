"""The rules of the domain, each written once: what can be tried, in which order, and what a choice is judged by."""

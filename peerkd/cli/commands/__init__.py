"""The commands and their options. Each command imports what it needs only when it is called."""

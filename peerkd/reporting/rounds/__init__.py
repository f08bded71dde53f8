"""The report of rounds."""

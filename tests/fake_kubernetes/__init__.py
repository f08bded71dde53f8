"""A Kubernetes API in memory on localhost, with real HTTP, watches and logs, and with faults that a test requests."""

"""A Kubernetes API on localhost, in memory: real HTTP, watches and logs, and the faults that a test asks for."""

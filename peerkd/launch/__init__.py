"""The control plane: backends, jobs on a cluster, and runs on a server. Each service has one adapter here."""

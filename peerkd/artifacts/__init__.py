"""Where results are kept: one interface, one file a backend. Knows bytes and manifests, not what they mean."""

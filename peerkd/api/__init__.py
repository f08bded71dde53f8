"""The implementation of the public interface. Programs take its names from ``peerkd``, not from here."""

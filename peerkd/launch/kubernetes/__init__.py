"""The backend ``kubernetes``. ``transport.py`` alone talks to the API; all other modules handle plain mappings."""

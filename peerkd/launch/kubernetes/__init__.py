"""The backend ``kubernetes``.

Only ``transport.py`` sends requests to the API; all other modules handle plain mappings.
"""

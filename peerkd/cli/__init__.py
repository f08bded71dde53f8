"""The command line: it parses options, loads the config, and calls. It contains no other logic."""

"""The command line: it parses options, loads the config, and calls a stage or a pipeline. It has no other logic."""

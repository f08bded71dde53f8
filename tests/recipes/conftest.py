"""Files of recipes are additions to a copy of the tree, and no tests of this one."""

collect_ignore_glob = ["*/peerkd/*", "*/benchmarks/*", "*/tests/*"]

"""Exclude the files of recipes, which are additions to a copy of the tree and not tests of this tree."""

collect_ignore_glob = ["*/peerkd/*", "*/benchmarks/*", "*/tests/*"]

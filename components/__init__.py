"""KFP components, one folder each: typed shells, each with one call of ``peerkd.stages``."""

"""KFP components, one folder each: a typed shell around one call into ``peerkd.stages``."""

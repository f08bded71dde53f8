"""KFP pipelines: graphs of components, compiled to the YAML files that lie beside them. No arithmetic, no strings."""

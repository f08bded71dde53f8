"""KFP pipelines: graphs of components, compiled to the YAML files next to them. They contain no logic of their own."""

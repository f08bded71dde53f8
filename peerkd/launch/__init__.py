"""How the pipeline is run. Services are met here, each in one adapter."""

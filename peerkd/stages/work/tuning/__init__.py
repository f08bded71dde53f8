"""The parts of a tuned study: its space, its iterations, and the decisions between them. The package needs no torch."""

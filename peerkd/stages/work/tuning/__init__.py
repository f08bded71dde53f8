"""The parts of a tuned study: its space, its rounds, and the decisions between rounds. The package needs no torch."""

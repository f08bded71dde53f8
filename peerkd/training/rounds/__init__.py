"""The rounds of the pipeline ``collaborate``: the data of the peers, one round, and all rounds of a method."""

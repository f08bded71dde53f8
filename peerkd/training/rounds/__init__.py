"""Rounds: the data of the peers, the training of many peers in a round, and all rounds of a method."""

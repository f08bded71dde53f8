"""The methods of rounds, compared over seeds and over the skew of the peers' data."""

"""The table of trials: its columns, how it is written, and what is concluded from it. Numpy and Arrow only."""

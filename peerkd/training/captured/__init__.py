"""Training of several students at once on a GPU: their steps are captured as CUDA graphs and replayed.

The graphs belong to lanes, each of which trains one student after another: the state of the next student is copied into
the tensors of the lane.

A sweep imports this package only if it trains on a GPU. Only the module ``graphs`` calls CUDA. The other modules also
run on a CPU, where they are tested.
"""

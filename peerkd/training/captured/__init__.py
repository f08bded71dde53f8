"""Training of several students at once on a GPU: their steps are captured as CUDA graphs and replayed.

The graphs belong to lanes, each of which trains one student after another: the state of the next student is copied into
the tensors of the lane.
Only ``graphs`` uses CUDA; everything else also runs, and is tested, on a CPU. Nothing here is imported without a GPU.
"""

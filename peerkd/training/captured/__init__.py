"""Students on a GPU, several at once: a step captured as a CUDA graph, and their states swapped in and out of it.

What touches CUDA is in ``graphs`` alone; all else runs, and is tested, on a CPU. Not imported where there is no GPU.
"""

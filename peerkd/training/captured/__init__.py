"""Several students at once on a GPU, with steps captured as CUDA graphs into which students' states are copied.

Only ``graphs`` uses CUDA; everything else also runs, and is tested, on a CPU. Nothing here is imported without a GPU.
"""

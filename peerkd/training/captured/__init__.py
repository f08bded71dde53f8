"""Several students at once on a GPU, with a step captured as a CUDA graph and the students' states copied in and out.

Only ``graphs`` uses CUDA; everything else also runs, and is tested, on a CPU. Nothing here is imported without a GPU.
"""

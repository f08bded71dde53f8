"""Training of many small networks side by side, on the same images.

It uses batched products and hand-written gradients.
"""

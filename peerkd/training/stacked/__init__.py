"""Many small networks that train side by side on the same images, by batched products and gradients written by hand."""

"""One training loop for PCL, the methods it is compared with, and their controls."""

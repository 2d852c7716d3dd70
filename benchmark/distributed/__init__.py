"""Several processes that train together: their process group, and PyTorch's launcher.

A process that trains alone is rank 0 of 1.
"""

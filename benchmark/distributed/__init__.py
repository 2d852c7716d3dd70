"""Distributed training: the process group of all ranks, and PyTorch's launcher.

A process that trains alone is rank 0 of 1.
"""

"""Modes that train or load batches, and the timer of their blocks, within one process.

In: parameters. Out: timed blocks of steps.
"""

"""Two training processes that alternate block by block, so that both see the same machine load.

In: a task (accelerator, parameters) for each process. Out: pairs of timed blocks.
"""

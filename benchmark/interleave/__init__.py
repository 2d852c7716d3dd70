"""Two training processes that alternate block by block, so that both see the same machine load.

In: two tasks. Out: pairs of timed blocks.
"""

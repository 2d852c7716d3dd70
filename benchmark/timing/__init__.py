"""One measuring process: the modes that it can run and the clock that times them.

In: parameters. Out: timed blocks of steps.
"""

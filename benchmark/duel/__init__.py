"""Two revisions side by side: is one of them slower?

Both train at the same time, block by block in turns, so that the machine's mood, which differs
from one hour to the next by more than most changes do, is the same for both.
"""

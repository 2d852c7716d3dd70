"""What ends a command, in one line that says what, where and the remedy.

It imports no other room.
"""

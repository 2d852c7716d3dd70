"""Errors that end a command, as one line: what is wrong, where, and the remedy.

It imports no other room.
"""

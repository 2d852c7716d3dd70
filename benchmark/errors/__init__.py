"""Errors that end a command, as one line: what is wrong, where, and the remedy.

This room does not import any other room.
"""

"""Compares two revisions, machines or folders: by their recorded results, or by timing both now.

`compare` and `duel` differ in where the samples come from, and share the verdict, its text and the
exit status.
"""

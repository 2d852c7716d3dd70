"""Compares two revisions, machines or folders: by their recorded results, or by timing both now.

`compare` reads recorded results, `duel` measures both revisions. Verdict, text and exit status are
the same code.
"""

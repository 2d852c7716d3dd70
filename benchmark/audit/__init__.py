"""Checks a folder of images before a training uses it: damage, duplicates, odd names.

In: a folder. Out: a list of problems, each with a remedy.
"""

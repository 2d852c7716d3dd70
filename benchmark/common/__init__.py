"""Code that every room uses: parameters, paths of results, files, digests, statistics.

It does not depend on images, models or devices.
"""

"""What every room uses: parameters, where results lie, files, digests, statistics, errors.

It knows nothing of images, models or devices.
"""

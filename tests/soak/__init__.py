"""Hundreds of trainings, kills and spoilt files: too slow for each change to wait for."""

"""The stages of dvc.yaml: each module has a function `run`, and each stage is one process.

Stages exchange data only through files in `reports/`.
"""

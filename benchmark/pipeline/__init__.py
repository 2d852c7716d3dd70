"""The stages of dvc.yaml: each module has a function `run`, and each stage is one process.

Stages know of one another only what is in `reports/`.
"""

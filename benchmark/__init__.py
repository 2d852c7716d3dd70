"""A reproducible benchmark of fine-tuning image models on CPU, GPU and TPU."""

from benchmark.common import slim_torchmetrics

slim_torchmetrics.install()

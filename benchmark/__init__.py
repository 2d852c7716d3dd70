"""A reproducible benchmark of fine-tuning image models on CPU, GPU and TPU."""

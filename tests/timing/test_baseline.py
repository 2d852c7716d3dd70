from pathlib import Path

import torch

from benchmark.common.parameters import DataParameters
from benchmark.data.datamodule import LOADER_TIMEOUT
from benchmark.machine import processors
from benchmark.timing import baseline


def test_whole_batches_of_the_training_split(images: Path) -> None:
    data = DataParameters(root=str(images), image_size=32, batch_size=4, num_workers=0, cache_gib=8)
    loader = baseline.loader(data, pin_memory=False)
    assert loader.num_workers == processors.processor_count() >= 1
    assert loader.timeout == LOADER_TIMEOUT
    batches = list(loader)
    assert len(batches) == 15 // 4
    for pixels, labels in batches:
        assert pixels.shape == (4, 3, 32, 32)
        assert pixels.dtype == torch.float32
        assert pixels.min() < 0 < pixels.max()
        assert set(labels.tolist()) <= {0, 1, 2}

"""Prepare a training's input with the checkout that is installed, and time it.

Started by measuring.py, in a directory with a params.yaml. Prints for each step its name and
time.monotonic() at its end, as JSON: imports, cache, first batch, epoch 1, epoch 2.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable

marks: dict[str, float] = {}


def mark(name: str) -> None:
    marks[name] = time.monotonic()


def ours(epochs: int) -> None:
    """Do what `python -m benchmark train cpu` does until its first step; then take batches."""
    from contextlib import ExitStack, suppress
    from pathlib import Path

    with ExitStack() as stack:
        with suppress(ImportError):  # an older checkout
            from benchmark.common import slim_torchmetrics

            slim_torchmetrics.install()
            from benchmark.common.imports import frozen_imports

            stack.enter_context(frozen_imports())
        import benchmark.command_line  # noqa: F401
        from benchmark.common.parameters import load_parameters
        from benchmark.data.datamodule import ImageDataModule
        from benchmark.data.folder import scan
        from benchmark.pipeline import train  # noqa: F401

    mark("imports")
    parameters = load_parameters()
    scan(Path(parameters.data.root))  # as the training's check of the splits
    data = ImageDataModule(**parameters.data.model_dump(), seed=parameters.seed)
    data.prepare_data()
    data.setup("fit")
    mark("cache")
    loader = data.train_dataloader()
    take(loader, epochs, lambda batch: data.on_after_batch_transfer(batch, 0))


def image_folder(epochs: int) -> None:
    """Take batches as from torchvision's reference: ImageFolder with a worker per processor."""
    from benchmark.common.parameters import load_parameters
    from benchmark.machine.processors import processor_count
    from benchmark.timing import baseline

    mark("imports")
    data = load_parameters().data
    take(baseline.loader(data, pin_memory=False, workers=processor_count()), epochs)


def timm(epochs: int) -> None:
    """Take batches from timm's loader with a worker per processor."""
    import torch

    from benchmark.common.parameters import load_parameters
    from benchmark.machine.processors import processor_count
    from benchmark.timing import timm_peer

    mark("imports")
    take(timm_peer.loader(load_parameters().data, torch.device("cpu"), processor_count()), epochs)


def decoder(_: int) -> None:
    """Decode each JPEG at a quarter of its size, and do nothing else: libjpeg-turbo's time."""
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from PIL import Image

    from benchmark.common.parameters import load_parameters
    from benchmark.machine.processors import processor_count

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            if max(image.size) > 1000:
                image.draft("RGB", (image.width // 4, image.height // 4))
            image.load()

    mark("imports")
    paths = sorted(Path(load_parameters().data.root).glob("*/*/*.jpg"))
    with ThreadPoolExecutor(processor_count()) as pool:
        [*pool.map(decode, paths)]


def take(
    loader: Iterable[object],
    epochs: int,
    transfer: Callable[[object], object] = lambda batch: batch,
) -> None:
    """Take the first batch only, if `epochs` is 0; else all batches of each epoch."""
    for epoch in range(1, max(1, epochs) + 1):
        for batch in loader:
            transfer(batch)
            marks.setdefault("first batch", time.monotonic())
            if not epochs:
                return
        mark(f"epoch {epoch}")


if __name__ == "__main__":
    {"ours": ours, "ImageFolder": image_folder, "timm": timm, "decoder": decoder}[sys.argv[1]](
        int(sys.argv[2])
    )
    mark("all")
    print(json.dumps(marks))

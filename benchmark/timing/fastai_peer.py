"""The peer `fastai`: its Learner over its ImageDataLoaders."""

from functools import partial
from pathlib import Path

from fastai.callback.core import Callback, CancelFitException, CancelValidException
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.callback.progress import ProgressCallback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import GrandparentSplitter, Normalize, parent_label
from fastai.learner import Learner
from fastai.optimizer import Adam
from fastai.vision.augment import FlipItem, RandomResizedCrop
from fastai.vision.data import ImageBlock, ImageDataLoaders
from torch import nn

from benchmark.common.parameters import Parameters
from benchmark.data.folder import scan
from benchmark.data.resampling import MEAN, STD
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators
from benchmark.timing.coroutine import Coroutine


class Pauses(Callback):  # type: ignore[misc]
    """Callback that pauses a fit between its steps and skips validation."""

    order = 5  # before mixed precision, whose context must not be open during a pause

    def __init__(self, fit: Coroutine) -> None:
        super().__init__()
        self._coroutine = fit

    def before_batch(self) -> None:
        """Pause until the first `run`; the loader's workers have started by now."""
        self._coroutine.ready()

    def after_batch(self) -> None:
        """Count a step, pause if the block is complete, and end the fit after `stop`."""
        self._coroutine.stepped()
        if self._coroutine.over:
            raise CancelFitException

    def before_validate(self) -> None:
        """Skip validation, as all modes do."""
        raise CancelValidException


def fit(network: nn.Module, accelerator: str, parameters: Parameters, workers: int) -> Coroutine:
    """Return a coroutine in which fastai's Learner trains `network`.

    Raises:
        UserError: fastai does not have mixed precision on this accelerator.
    """
    device, data, train = accelerators.device(accelerator), parameters.data, parameters.train
    mixed = train.precision in ("bf16-mixed", "16-mixed")
    if mixed and device.type != "cuda":
        raise UserError(
            f"fastai's mixed precision works on CUDA only, not on {accelerator}.",
            "Leave fastai out, or set train.precision to 32-true.",
        )
    # As ImageDataLoaders.from_folder, whose list of images depends on the system's MIME types.
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=lambda root: scan(root).paths,
        splitter=GrandparentSplitter(train_name="train", valid_name="val"),
        get_y=parent_label,
        item_tfms=[RandomResizedCrop(data.image_size), FlipItem()],
        batch_tfms=[Normalize.from_stats(MEAN, STD)],
    )
    loaders = ImageDataLoaders.from_dblock(  # full batches: fastai's default in training
        block, Path(data.root), bs=data.batch_size, num_workers=workers, device=device
    )
    learner = Learner(
        loaders,
        network,
        loss_func=nn.CrossEntropyLoss(),
        opt_func=partial(Adam, sqr_mom=0.999, eps=1e-8, wd=0.0),  # the values of torch's
        cbs=[MixedPrecision(AMPMode.BF16 if "bf16" in train.precision else AMPMode.FP16)]
        if mixed
        else [],
    )
    coroutine = Coroutine(lambda: learner.fit(10**9, lr=train.learning_rate))
    learner.add_cb(Pauses(coroutine)).remove_cb(ProgressCallback)
    learner.logger = lambda *_: None
    return coroutine

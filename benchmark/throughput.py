"""The throughput stage: training images per second through Lightning, on one accelerator.

The clock is read only when the accelerator has finished its work, at the edges of blocks of
steps. A block in which a graph was compiled does not count. With a frozen backbone a step still
runs the whole network, on augmented images: a rate of stored features would say nothing.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl

from benchmark import accelerators
from benchmark.accelerators import Accelerator
from benchmark.datamodule import ImageDataModule
from benchmark.errors import UserError
from benchmark.files import write_json
from benchmark.parameters import Parameters, ThroughputParameters
from benchmark.results import Results
from benchmark.statistics import median_interval
from benchmark.train import Inputs, fine_tuner, gather_inputs, quieten


@dataclass(frozen=True)
class Block:
    """Consecutive steps between two readings of the clock."""

    images: int
    seconds: float
    compilations: int


class BlockTimer(pl.Callback):
    """Times blocks of training steps after a warm-up."""

    def __init__(self, accelerator: str, protocol: ThroughputParameters) -> None:
        self.blocks: list[Block] = []
        self._accelerator = accelerator
        self._protocol = protocol
        self._images = 0
        self._mark: tuple[float, int] = (0.0, 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Close a block, and open the next, where one ends."""
        self._images += len(batch[1])
        measured = trainer.global_step - self._protocol.warmup_steps
        if measured < 0 or measured % self._protocol.steps_per_block:
            return
        start, compiled = self._mark
        accelerators.synchronise(self._accelerator)
        self._mark = time.perf_counter(), accelerators.compilations(self._accelerator)
        if measured:
            elapsed = self._mark[0] - start
            self.blocks.append(Block(self._images, elapsed, self._mark[1] - compiled))
        self._images = 0


def run(accelerator: Accelerator, parameters: Parameters) -> None:
    """The stage: measure an accelerator that is here.

    Raises:
        UserError: as the training stage; or no block was free of compilation.
    """
    accelerators.check_precision(accelerator.name, parameters.train.precision)
    accelerators.prepare(accelerator.name)
    inputs = gather_inputs(accelerator.name, parameters, "throughput")
    result = _result(accelerator, parameters, measure(accelerator, parameters), inputs)
    write_json(Results(accelerator.name).throughput, result)


def measure(accelerator: Accelerator, parameters: Parameters) -> list[Block]:
    """Train for as many steps as the protocol asks and return every block."""
    quieten()
    pl.seed_everything(parameters.seed, verbose=False)
    data = ImageDataModule(**parameters.data.model_dump(), seed=parameters.seed)
    timer = BlockTimer(accelerator.name, parameters.throughput)
    _trainer(accelerator.name, parameters, timer).fit(
        fine_tuner(parameters, len(data.classes)), datamodule=data
    )
    return timer.blocks


def _trainer(name: str, parameters: Parameters, timer: BlockTimer) -> pl.Trainer:
    protocol = parameters.throughput
    return pl.Trainer(
        **accelerators.trainer_arguments(name),
        precision=parameters.train.precision,
        max_epochs=-1,
        max_steps=protocol.warmup_steps + protocol.blocks * protocol.steps_per_block,
        limit_val_batches=0,
        deterministic=True,
        callbacks=[timer],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )


def _result(
    accelerator: Accelerator, parameters: Parameters, blocks: list[Block], inputs: Inputs
) -> dict[str, Any]:
    rates = [block.images / block.seconds for block in blocks if not block.compilations]
    if not rates:
        raise UserError(
            f"{accelerator.label}: a graph was compiled in each of {len(blocks)} blocks.",
            "Raise throughput.warmup_steps or throughput.blocks.",
        )
    return {
        "status": "ok",
        "accelerator": accelerator.label,
        "device": accelerator.device,
        "workload": _workload(parameters, inputs),
        "modes": {"trainer": {"images_per_second": asdict(median_interval(rates))}},
        "blocks": [asdict(block) for block in blocks],
    }


def _workload(parameters: Parameters, inputs: Inputs) -> dict[str, Any]:
    """What must be equal for two throughputs to be compared."""
    data = parameters.data.model_dump(include={"image_size", "batch_size", "num_workers"})
    network = {"network": "resnet50", **parameters.model.model_dump()}
    return {**network, **data, "precision": parameters.train.precision, "code": inputs.code}

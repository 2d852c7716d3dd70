"""The training stage: one seeded, resumable Lightning fit and test on one accelerator."""

import logging
import math
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import BackboneFinetuning, Callback, EarlyStopping, ModelCheckpoint
from safetensors.torch import save_file

from benchmark import accelerators, digests, machine, weights
from benchmark.accelerators import Accelerator
from benchmark.datamodule import ImageDataModule
from benchmark.errors import UserError
from benchmark.features import FeatureDataModule
from benchmark.files import new_directory, write_csv, write_json
from benchmark.folder import scan
from benchmark.model import FineTuner
from benchmark.parameters import Parameters, TrainParameters
from benchmark.recorder import FirstSteps, Lines, Predictions, Recorder, Stopwatch
from benchmark.results import (
    DATASET,
    EPOCH_HEADER,
    PREDICTION_HEADER,
    STEP_HEADER,
    Results,
    read_result,
)

SCRATCH = Path(".checkpoints")


@dataclass(frozen=True)
class Inputs:
    """Digests of what a run depends on, taken when it starts."""

    parameters: str
    code: str
    dataset: str
    weights: str
    environment: str

    def key(self) -> str:
        """Names the scratch directory: a run resumes only what began from the same inputs."""
        place = str(Path.cwd())  # Lightning stores absolute paths in its checkpoints
        return digests.of_json([*vars(self).values(), place])[:32]


def run(accelerator: Accelerator, parameters: Parameters, seed: int | None = None) -> None:
    """The stage: train on an accelerator that is here, with `seed` in place of the run's own if
    it is given.

    Raises:
        UserError: the data or the weights are not usable, another process is training, or `seed`
            is not among the parameters' seeds.
    """
    results = Results(accelerator.name)
    if seed is not None:
        parameters, results = parameters.with_seed(seed), results.seed(seed)
    inputs = gather_inputs(accelerator.name, parameters, "train")
    fit_and_test(accelerator, parameters, inputs, results)


def fit_and_test(
    accelerator: Accelerator, parameters: Parameters, inputs: Inputs, results: Results
) -> None:
    """Train as `parameters` say and write `results`; raises as `run`."""
    check(accelerator.name, parameters.train)
    accelerators.prepare(accelerator.name)
    with scratch(results.name, inputs.key()) as directory, machine.alone():
        _write(Run(accelerator, parameters, directory).execute(), inputs, results)


def check(name: str, train: TrainParameters) -> None:
    """Refuse what the accelerator `name` does not have.

    Raises:
        UserError: it lacks the precision, or a fused Adam.
    """
    accelerators.check_precision(name, train.precision)
    if train.fused and name in ("tpu", "xla"):
        raise UserError(
            f"train.fused: there is no fused Adam on {name}.",
            f"Set it to false, or leave {name} out of accelerators.",
        )


def gather_inputs(name: str, parameters: Parameters, stage: str) -> Inputs:
    """Digest the inputs of a `stage` on `name`; the stages before it must have run."""
    relevant = parameters.model_dump(include={"seed": True, "model": True, "train": True})
    data = parameters.data.model_dump(include={"image_size", "batch_size"})
    return Inputs(
        parameters=digests.of_json([relevant, data]),
        code=digests.of_code(stage),
        dataset=read_result(DATASET)["md5"],
        weights=weights.fingerprint(parameters.model),
        environment=digests.of_json(read_result(Results(name).environment)),
    )


def data_module(parameters: Parameters) -> ImageDataModule:
    """The DataModule that `parameters` describe."""
    kind = FeatureDataModule if parameters.model.freeze_backbone else ImageDataModule
    return kind(**parameters.data.model_dump(), seed=parameters.seed)


def fine_tuner(parameters: Parameters, classes: int) -> FineTuner:
    """The model that `parameters` describe, for `classes` classes."""
    train = parameters.train
    return FineTuner(classes, parameters.seed, parameters.model, train.learning_rate, train.fused)


class Thaw(BackboneFinetuning):
    """Lightning's gradual unfreezing at a fixed rate. Until then batch norm is frozen whole
    (Lightning would train its weights, and normalise by the batch), and a run that is resumed
    after the thaw stays thawed (Lightning's would freeze again).
    """

    def __init__(self, epoch: int, learning_rate: float) -> None:
        super().__init__(
            epoch, lambda _: 1.0, backbone_initial_lr=learning_rate, should_align=False
        )

    def freeze_before_training(self, module: pl.LightningModule) -> None:
        """Freeze the whole backbone."""
        assert isinstance(module, FineTuner)
        self.freeze(module.backbone.eval(), train_bn=False)

    def finetune_function(
        self, module: pl.LightningModule, epoch: int, optimizer: torch.optim.Optimizer
    ) -> None:
        """At the start of `epoch`: thaw, if it is time."""
        assert isinstance(module, FineTuner)
        super().finetune_function(module, epoch, optimizer)
        if epoch >= self.unfreeze_backbone_at_epoch:
            self.make_trainable(module.backbone.train())


class XLAGraphs(Callback):
    """Ends the XLA graph at each evaluation batch: Lightning does so for training steps only,
    and all of a validation would pile up in the next step's graph."""

    def __init__(self, accelerator: str) -> None:
        self._accelerator = accelerator

    def on_validation_batch_end(self, *_: Any) -> None:
        """Execute what has been traced."""
        accelerators.dispatch(self._accelerator)

    def on_test_batch_end(self, *_: Any) -> None:
        """Execute what has been traced."""
        accelerators.dispatch(self._accelerator)


class Patience(EarlyStopping):
    """Early stopping that counts from epoch `start` and that stays stopped: Lightning's forgets
    its verdict in a resumed run."""

    def __init__(self, patience: int, start: int) -> None:
        super().__init__("val/loss", patience=patience, check_on_train_epoch_end=True)
        self._start = start

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Do not stop for want of progress while the backbone waits for its thaw."""
        if trainer.current_epoch >= self._start:
            super().on_train_epoch_end(trainer, module)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Do not begin an epoch that the interrupted run would not have begun."""
        trainer.should_stop = self.wait_count >= self.patience


class Run:
    """One fit, and a test of its best epoch, on an accelerator that is here."""

    def __init__(
        self, accelerator: Accelerator, parameters: Parameters, scratch: Path, *extras: Callback
    ) -> None:
        quieten()
        # For what draws from torch's global generator; neither ResNet50 nor the DataModule does.
        pl.seed_everything(parameters.seed, verbose=False)
        self.accelerator = accelerator
        self.parameters = parameters
        self.data = data_module(parameters)
        self.model = fine_tuner(parameters, len(self.data.classes))
        self.initial = digests.of_state(self.model.network.state_dict())
        self.features_seconds = 0.0
        self.recorder, self.first, self.predictions = Recorder(), FirstSteps(), Predictions()
        self.stopwatch = Stopwatch(accelerator.name)
        self.best = ModelCheckpoint(
            scratch, "best", monitor="val/loss", save_on_train_epoch_end=True,
            enable_version_counter=False,
        )  # fmt: skip
        self.last = scratch / "last.ckpt"
        self.trainer = self._trainer(extras)

    def execute(self) -> "Run":
        """Fit, from the last whole epoch if the run was interrupted, then test."""
        resumed = str(self.last) if self.last.exists() else None
        if resumed:
            print(f"{self.accelerator.label}: resuming after an interruption", flush=True)
        self.trainer.fit(self.model, datamodule=self.data, ckpt_path=resumed)
        if isinstance(self.data, FeatureDataModule):
            self.features_seconds = self.data.seconds
        self._restore_best()
        start = time.perf_counter()
        self.test = self.trainer.test(self.model, self.data, verbose=False)[0]
        self.test_seconds = time.perf_counter() - start
        self._require_finite(self.test["test/loss"], "test")
        return self

    def _restore_best(self) -> None:
        """The weights alone: test(ckpt_path=...) would take the recordings back too."""
        score = self.best.best_model_score
        self._require_finite(math.inf if score is None else score.item(), "validation")
        checkpoint = torch.load(self.best.best_model_path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(checkpoint["state_dict"])

    def _require_finite(self, loss: float, split: str) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"{self.accelerator.label}: the {split} loss is not a finite number.",
                "Lower train.learning_rate, or choose a finer train.precision.",
            )

    def _trainer(self, extras: Sequence[Callback]) -> pl.Trainer:
        train, terminal = self.parameters.train, sys.stderr.isatty()
        recording = [self.recorder, self.first, self.predictions, self.stopwatch]
        callbacks = [*recording, *self._checkpoints(), *self._extras(terminal), *extras]
        return pl.Trainer(
            **accelerators.trainer_arguments(self.accelerator.name),
            precision=train.precision,
            max_epochs=train.max_epochs,
            deterministic=True,
            callbacks=callbacks,
            logger=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=terminal,
        )

    def _checkpoints(self) -> list[Callback]:
        last = ModelCheckpoint(
            self.last.parent, self.last.stem, save_on_train_epoch_end=True,
            enable_version_counter=False,
        )  # fmt: skip
        train = self.parameters.train
        stopping = Patience(train.patience, start=train.unfreeze_epoch)
        return [stopping, self.best, last]

    def _extras(self, terminal: bool) -> list[Callback]:
        extras: list[Callback] = [] if terminal else [Lines(self.accelerator.label, self.recorder)]
        train = self.parameters.train
        if train.unfreeze_epoch:
            extras.append(Thaw(train.unfreeze_epoch, train.backbone_learning_rate))
        if self.accelerator.name in ("tpu", "xla"):
            extras.append(XLAGraphs(self.accelerator.name))
        return extras


def quieten() -> None:
    """Silence what Lightning says to everybody: nothing of it is about this suite's runs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # gathering bytes is fast
    warnings.filterwarnings("ignore", ".*in eval mode at the start.*")  # a frozen backbone is
    warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")


@contextmanager
def scratch(name: str, key: str) -> Iterator[Path]:
    """A directory that outlives an interruption, for one process at a time; gone on success."""
    home = SCRATCH / name
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / "lock", timeout=0):
            for stale in home.iterdir():
                if stale.is_dir() and stale.name != key:
                    shutil.rmtree(stale)
            (home / key).mkdir(exist_ok=True)
            yield home / key
            shutil.rmtree(home / key)
    except Timeout:
        raise UserError(
            f"Another process is training on {name} here.", "Wait for it, or end it."
        ) from None


def _write(run: Run, inputs: Inputs, results: Results) -> None:
    state = run.model.network.state_dict()
    learned = {name: value.cpu().contiguous() for name, value in state.items()}
    result = _result(run, inputs, digests.of_state(learned))
    with new_directory(results.model) as directory:
        save_file(learned, directory / "weights.safetensors")
        write_json(directory / "status.json", {"status": "ok", "classes": list(run.data.classes)})
    write_csv(results.steps, STEP_HEADER, map(exact, run.recorder.steps))
    write_csv(results.epochs, EPOCH_HEADER, map(exact, run.recorder.epochs))
    write_csv(results.predictions, PREDICTION_HEADER, _predictions(run))
    write_json(results.timing, _timing(run))
    write_json(results.training, result)


def _result(run: Run, inputs: Inputs, learned: str) -> dict[str, Any]:
    epochs = run.recorder.epochs
    best = min(epochs, key=lambda row: row[2])
    order = run.data.ledger.order
    return {
        "status": "ok",
        "accelerator": run.accelerator.label,
        "device": run.accelerator.device,
        "test": _metrics(run.test, "test"),
        "val": _metrics(dict(zip(("loss", "accuracy", "top5"), best[2:], strict=True))),
        "epochs": len(epochs),
        "best_epoch": best[0],
        "steps": len(run.recorder.steps),
        "classes": len(run.data.classes),
        "digests": {
            "weights": learned,
            "initial_weights": run.initial,
            "order": order[max(order)],
            "pixels": run.data.ledger.pixels,
            "first_steps": {"steps": run.first.steps, "weights": run.first.weights},
            "order_by_epoch": [order[epoch] for epoch in sorted(order)],
        },
        "inputs": vars(inputs),
    }


def _predictions(run: Run) -> Iterator[list[str]]:
    """A row for each test image: its path below test/, its class, and what it was taken for."""
    classes, root = run.data.classes, run.data.root / "test"
    images = scan(run.data.root).splits["test"]
    found = zip(images.paths, images.labels, run.predictions.rows, strict=True)
    for path, label, (predicted, probability) in found:
        name = path.relative_to(root).as_posix()
        yield [name, classes[label], classes[predicted], f"{probability:.6f}"]


def _metrics(values: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    start = f"{prefix}/" if prefix else ""
    return {name: round(values[start + name], 6) for name in ("loss", "accuracy", "top5")}


def _timing(run: Run) -> dict[str, Any]:
    """Features are those of training and validation; those of the test count in its time."""
    total = run.features_seconds + sum(run.stopwatch.seconds) + run.test_seconds
    return {
        "status": "ok",
        "accelerator": run.accelerator.label,
        "total_seconds": round(total, 3),
        "features_seconds": round(run.features_seconds, 3),
        "epoch_seconds": [round(seconds, 3) for seconds in run.stopwatch.seconds],
        "test_seconds": round(run.test_seconds, 3),
    }


def exact(row: tuple[float, ...]) -> list[str]:
    """Nine digits tell every float32 from its neighbours."""
    return [str(value) if isinstance(value, int) else f"{value:.9g}" for value in row]

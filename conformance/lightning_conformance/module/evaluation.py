"""Evaluation of a fitted module: which stages it has, and what they log."""

from lightning_conformance.call_log import overrides
from lightning_conformance.module.fit import FitRun
from lightning_conformance.scenario import LOADERS

STEPS = {"validate": "validation_step", "test": "test_step", "predict": "predict_step"}
"""By stage: the module's step."""
MAX_BATCHES = 50
"""Batches of an evaluation per rank and loader that are compared."""


def evaluates(run: FitRun, stage: str) -> bool:
    """Return whether the DataModule has data for the stage, and the module a step."""
    step, kind = STEPS[stage], type(run.module)
    return overrides(run.data, f"{LOADERS[stage]}_dataloader") and (
        stage == "predict" or getattr(kind, step) is not getattr(run.package.LightningModule, step)
    )


def use_first_batches(run: FitRun) -> None:
    """Give the run a new Trainer that evaluates at most MAX_BATCHES."""
    limits = {f"limit_{name}_batches": MAX_BATCHES for name in ("val", "test", "predict")}
    run.trainer = run.make_trainer(**limits)


def evaluate(run: FitRun, stage: str) -> dict[str, float]:
    """Run the stage with the run's Trainer, and return the logged metrics."""
    options = {} if stage == "predict" else {"verbose": False}
    getattr(run.trainer, stage)(run.module, datamodule=run.data, **options)
    return {name: float(value) for name, value in run.trainer.callback_metrics.items()}

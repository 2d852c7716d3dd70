import pytest
import pytorch_lightning as pl

from benchmark.throughput import overhead


class Slow(pl.Trainer):
    """Burns 20 ms in each step and 200 ms in each epoch more than Lightning does."""

    def __init__(self, **options) -> None:
        options["callbacks"] = [Burner(), *options["callbacks"]]
        super().__init__(**options)


class Burner(pl.Callback):
    def on_train_batch_start(self, *_: object) -> None:
        burn(0.02)

    def on_train_epoch_end(self, *_: object) -> None:
        burn(0.2)


def burn(seconds: float) -> None:
    import time

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.slow
def test_what_is_added_to_steps_and_to_epochs_is_told_apart(monkeypatch) -> None:
    monkeypatch.setattr(overhead, "EPOCHS", 4)
    monkeypatch.setattr(overhead, "STEPS", 10)
    plain = overhead.measure("cpu", "32-true")
    monkeypatch.setattr(overhead.pl, "Trainer", Slow)
    slow = overhead.measure("cpu", "32-true")
    assert plain.seconds_per_step < slow.seconds_per_step / 2
    assert plain.seconds_per_epoch < slow.seconds_per_epoch / 2
    assert slow.seconds_per_epoch > 3 * slow.seconds_per_step


def test_lightning_costs_something() -> None:
    found = overhead.measure("cpu", "32-true")
    assert found.seconds_per_step > 0
    assert found.seconds_per_epoch >= 0

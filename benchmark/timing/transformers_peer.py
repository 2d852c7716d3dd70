"""The peer `transformers`: Hugging Face's Trainer over ImageFolder, as in its image example."""

import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging

from benchmark.common.parameters import Parameters
from benchmark.machine import accelerators
from benchmark.timing import baseline
from benchmark.timing.coroutine import Coroutine


class Classifier(nn.Module):
    """Wraps a network for Hugging Face's Trainer: keyword inputs, and outputs with the loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return logits (n, classes) and their cross-entropy, a scalar."""
        logits = self.network(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Pauses(TrainerCallback):  # type: ignore[misc]
    """Callback that pauses a fit between its steps."""

    def __init__(self, fit: Coroutine) -> None:
        self._coroutine = fit

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Pause until the first `run`; the loader's workers have started by now."""
        self._coroutine.ready()

    def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
        """Count a step, pause if the block is complete, and end the fit after `stop`."""
        self._coroutine.stepped()
        control.should_training_stop = self._coroutine.over


def fit(network: nn.Module, accelerator: str, parameters: Parameters, workers: int) -> Coroutine:
    """Return a coroutine in which Hugging Face's Trainer trains `network`."""
    logging.set_verbosity_error()
    coroutine = Coroutine(lambda: trainer.train())
    device, data, train = accelerators.device(accelerator), parameters.data, parameters.train
    arguments = TrainingArguments(
        tempfile.gettempdir(),  # must exist, though nothing is written to it
        per_device_train_batch_size=data.batch_size,
        dataloader_drop_last=True,
        dataloader_num_workers=workers,
        dataloader_persistent_workers=True,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        max_steps=10**9,
        learning_rate=train.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=0.0,  # the default optimizer is AdamW; without decay it is Adam
        max_grad_norm=0.0,
        bf16=train.precision == "bf16-mixed",
        fp16=train.precision == "16-mixed",
        use_cpu=device.type == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # else DataParallel splits each batch
    trainer = Trainer(
        Classifier(network),
        arguments,
        data_collator=_batch,
        train_dataset=baseline.dataset(data),
        callbacks=[Pauses(coroutine)],
    )
    trainer.remove_callback(PrinterCallback)
    return coroutine


def _batch(samples: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    images, labels = zip(*samples, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}

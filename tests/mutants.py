"""`python -m tests.mutants [PART OF A NAME ...]`: do the tests notice plausible mistakes?

Each mutant is one mistake of meaning in one place of the package, with the tests that should
fail for it. All work is done in a copy, so the working tree is never broken.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
TIMEOUT = 900
"""Seconds after which a mutant counts as killed: it hangs."""
REQUIRED = 0.9
"""Least part of the mutants that must be killed."""


class Mutant(NamedTuple):
    """One mistake: in benchmark/<module>.py `new` stands in the place of `old`."""

    module: str
    mistake: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Files or node ids, the cheapest first."""

    @property
    def name(self) -> str:
        """What it is called in the list of results."""
        return f"{self.module}: {self.mistake}"

    @property
    def path(self) -> str:
        """The mutated file, relative to the repository."""
        return f"benchmark/{self.module}.py"

    def applied(self, source: str) -> str:
        """`source` with the mistake."""
        return source.replace(self.old, self.new)


def train(*names: str) -> tuple[str, ...]:
    """Some of the tests of the training stage: all of them take minutes."""
    return tuple(f"tests/test_train.py::test_{name}" for name in names)


CACHE = ("tests/test_cache.py",)
CROPS = ("tests/test_crops.py",)
DATA = ("tests/test_datamodule.py",)
FEATURES = ("tests/test_features.py",)
FOLDER = ("tests/test_folder.py",)
GATE = ("tests/test_gate.py",)
GOLDEN = ("tests/test_golden.py",)
DIGEST_LOG = ("tests/test_ledger.py",)
MODEL = ("tests/test_model.py",)
PARITY = ("tests/test_parity.py",)
RANDOMNESS = ("tests/test_randomness.py",)
RECORDER = ("tests/test_recorder.py",)
REPLAY = ("tests/test_replay.py",)
REPORT = ("tests/test_report.py",)
SAMPLES = ("tests/test_samples.py",)
SAMPLING = ("tests/test_sampling.py",)
STATISTICS = ("tests/test_statistics.py",)
RESUME = train("an_interrupted_run_resumes_to_the_same_result")

DATAMODULE_MUTANTS = [
    Mutant(
        "datamodule",
        "images of the first split for every split",
        "positions = indices + self._offset",
        "positions = indices",
        DATA,
    ),
    Mutant(
        "datamodule",
        "epoch and index change places in the key",
        "np.stack([epochs, indices], axis=1)",
        "np.stack([indices, epochs], axis=1)",
        DATA,
    ),
    Mutant(
        "datamodule",
        "training is not shuffled",
        'shuffle=split == "train"',
        "shuffle=False",
        DATA,
    ),
    Mutant(
        "datamodule",
        "evaluation is shuffled",
        'shuffle=split == "train"',
        "shuffle=True",
        DATA,
    ),
    Mutant(
        "datamodule",
        "augmentation ignores the seed",
        "seed=self.seed, area=self.crop_area",
        "seed=0, area=self.crop_area",
        DATA,
    ),
    Mutant(
        "datamodule",
        "the order ignores the seed",
        "ranks=ranks, seed=self.seed",
        "ranks=ranks, seed=0",
        DATA,
    ),
    Mutant(
        "datamodule",
        "crop_area is ignored",
        "area=self.crop_area",
        "area=crops.AREA",
        DATA,
    ),
    Mutant(
        "datamodule",
        "every process is rank 0",
        "rank, ranks = self.trainer.global_rank, self.trainer.world_size",
        "rank, ranks = 0, self.trainer.world_size",
        DATA,
    ),
    Mutant(
        "datamodule",
        "a second fit continues the first one's digest_log",
        'if stage == "fit":',
        "if stage is None:",
        DATA,
    ),
    Mutant(
        "datamodule",
        "pixels of evaluation are recorded",
        "if self._training() and self.digest_log.wants_pixels:",
        "if self.digest_log.wants_pixels:",
        DATA,
    ),
    Mutant(
        "datamodule",
        "the order of evaluation is recorded",
        "if self._training():\n",
        "if self.trainer is not None:\n",
        DATA,
    ),
    Mutant(
        "datamodule",
        "pixels are recorded after augmentation",
        "self.digest_log.record_pixels(batch.images,",
        "self.digest_log.record_pixels("
        "resample(batch.images, batch.windows, batch.flips, self.image_size),",
        DATA,
    ),
    Mutant(
        "datamodule",
        "windows and flips are no evidence",
        "self.digest_log.record_pixels(batch.images, batch.labels, batch.windows, batch.flips)",
        "self.digest_log.record_pixels(batch.images, batch.labels)",
        DATA,
    ),
    Mutant(
        "datamodule",
        "a checkpoint after a step lacks that step",
        "batches.current.ready * self.batch_size",
        "batches.current.completed * self.batch_size",
        DATA,
    ),
    Mutant(
        "datamodule",
        "a checkpoint at an epoch's end repeats the epoch",
        '{"epoch": epoch + 1, "samples": 0}',
        '{"epoch": epoch, "samples": 0}',
        DATA,
    ),
    Mutant(
        "datamodule",
        "only an epoch's last sample ends it",
        "if batches.is_last_batch:",
        "if batches.current.ready * self.batch_size >= len(self._samples['train']):",
        DATA,
    ),
    Mutant(
        "datamodule",
        "workers of a resumed run begin with the last epoch",
        '"epoch": max(self.digest_log.order, default=-1) + 1,',
        '"epoch": max(self.digest_log.order, default=0),',
        DATA,
    ),
    Mutant(
        "datamodule",
        "a resumed epoch begins anew",
        "self.sampler.resume(**state)",
        'self.sampler.resume(state["epoch"], 0)',
        DATA,
    ),
    Mutant(
        "datamodule",
        "a checkpoint's evidence is forgotten",
        'self.digest_log.load_state_dict(state_dict["digest_log"])',
        'state_dict["digest_log"]',
        DATA,
    ),
    Mutant(
        "datamodule",
        "teardown keeps the images",
        '"""Let go of the mapped images."""\n        self._samples.clear()',
        '"""Let go of the mapped images."""',
        DATA,
    ),
    Mutant(
        "datamodule",
        "the test is of the validation split",
        "def test_dataloader(self) -> DataLoader[Batch]:\n"
        '        """Batches in the order of the files."""\n'
        '        return self._loader("test")',
        "def test_dataloader(self) -> DataLoader[Batch]:\n"
        '        """Batches in the order of the files."""\n'
        '        return self._loader("val")',
        DATA,
    ),
    Mutant(
        "datamodule",
        "a validation readies the test split",
        '"validate": ("val",)',
        '"validate": ("test",)',
        DATA,
    ),
    Mutant(
        "datamodule",
        "validation is augmented",
        'if split == "train":\n            return partial(',
        'if split != "test":\n            return partial(',
        DATA,
    ),
    Mutant(
        "datamodule",
        "images are not normalised",
        "return normalise(images), batch.labels",
        "return images / 255, batch.labels",
        DATA,
    ),
    Mutant(
        "datamodule",
        "the last batch is dropped",
        "collate_fn=as_is,",
        'collate_fn=as_is, drop_last=split == "train",',
        DATA,
    ),
]

SAMPLER_MUTANTS = [
    Mutant(
        "sampling",
        "ranks are swapped",
        "[self.rank :: self.num_replicas]",
        "[self.num_replicas - 1 - self.rank :: self.num_replicas]",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "each rank gets one piece of the order",
        "np.resize(order, self.total_size)[self.rank :: self.num_replicas]",
        "np.split(np.resize(order, self.total_size), self.num_replicas)[self.rank]",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "ranks get unequal shares",
        "np.resize(order, self.total_size)",
        "order",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "the epoch after a resumed one is cut too",
        "start, self._start = self._start, 0",
        "start = self._start",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "a resumed epoch skips one sample too many",
        "self._start = samples",
        "self._start = samples + 1",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "a resumed run begins in epoch 0",
        "self.set_epoch(epoch)",
        "self.set_epoch(0)",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "the order ignores the epoch",
        "permutation(self.seed, self.epoch, self._length)",
        "permutation(self.seed, 0, self._length)",
        SAMPLING,
    ),
    Mutant(
        "sampling",
        "the order ignores the seed",
        "permutation(self.seed, self.epoch, self._length)",
        "permutation(0, self.epoch, self._length)",
        SAMPLING + DATA,
    ),
    Mutant(
        "sampling",
        "keys name epoch 0",
        "((self.epoch, int(index))",
        "((0, int(index))",
        SAMPLING,
    ),
    Mutant(
        "randomness",
        "the order ignores the seed",
        "_hash(seed, ORDER,",
        "_hash(0, ORDER,",
        RANDOMNESS,
    ),
    Mutant(
        "randomness",
        "order and augmentation share a stream",
        "ORDER, AUGMENTATION = 1, 2",
        "ORDER, AUGMENTATION = 1, 1",
        RANDOMNESS,
    ),
    Mutant(
        "randomness",
        "a sample's first number is its key",
        "np.arange(1, count + 1, dtype=np.uint64)",
        "np.arange(count, dtype=np.uint64)",
        RANDOMNESS,
    ),
    Mutant(
        "randomness",
        "augmentation ignores the epoch",
        "epochs.astype(np.uint64),",
        "np.zeros_like(epochs).astype(np.uint64),",
        RANDOMNESS,
    ),
    Mutant(
        "randomness",
        "numbers reach 2",
        "np.uint64(11)) * 2.0**-53",
        "np.uint64(10)) * 2.0**-53",
        RANDOMNESS,
    ),
    Mutant(
        "randomness",
        "epoch and seed may change places",
        "_mix((key ^ np.asarray(part, dtype=np.uint64)) + _GOLDEN)",
        "key ^ _mix(np.asarray(part, dtype=np.uint64) + _GOLDEN)",
        RANDOMNESS,
    ),
    Mutant(
        "randomness",
        "another mixer",
        "value >> np.uint64(27)",
        "value >> np.uint64(17)",
        RANDOMNESS,
    ),
]

AUGMENTATION_MUTANTS = [
    Mutant(
        "crops",
        "flips share a number with the crop's top",
        "draws[:, 0] < 0.5",
        "draws[:, 1] < 0.5",
        CROPS,
    ),
    Mutant(
        "crops",
        "a quarter is flipped",
        "draws[:, 0] < 0.5",
        "draws[:, 0] < 0.25",
        CROPS,
    ),
    Mutant(
        "crops",
        "the epoch is ignored",
        "uniforms(seed, epochs, indices,",
        "uniforms(seed, np.zeros_like(epochs), indices,",
        CROPS,
    ),
    Mutant(
        "crops",
        "the place in the batch stands for the sample",
        "uniforms(seed, epochs, indices,",
        "uniforms(seed, epochs, np.arange(len(indices)),",
        CROPS + DATA,
    ),
    Mutant(
        "crops",
        "the training filter reads beyond the crop",
        "_windows(boxes, boxes, shapes, stored)",
        "_windows(boxes, np.hstack([0 * shapes, shapes]).astype(float), shapes, stored)",
        CROPS,
    ),
    Mutant(
        "crops",
        "the evaluation filter stops at the crop",
        "_windows(boxes, whole, shapes, stored)",
        "_windows(boxes, boxes, shapes, stored)",
        CROPS,
    ),
    Mutant(
        "crops",
        "longer crops than torchvision's",
        "ASPECT = (3 / 4, 4 / 3)",
        "ASPECT = (1 / 2, 2 / 1)",
        CROPS,
    ),
    Mutant(
        "crops",
        "the least area is ignored",
        "part = area[0] + draws[:, 2 : 2 + ATTEMPTS] * (area[1] - area[0])",
        "part = draws[:, 2 : 2 + ATTEMPTS] * area[1]",
        CROPS,
    ),
    Mutant(
        "crops",
        "a crop that does not fit is shown",
        "first = fits.argmax(axis=1)[:, None]",
        "first = 0 * fits.argmax(axis=1)[:, None]",
        CROPS,
    ),
    Mutant(
        "crops",
        "a crop of the whole height does not fit",
        "heights <= sides[:, :1]",
        "heights < sides[:, :1]",
        CROPS,
    ),
    Mutant(
        "crops",
        "the far edge is never reached",
        "(sides - drawn + 1)",
        "(sides - drawn)",
        CROPS,
    ),
    Mutant(
        "crops",
        "the longer side is resized",
        "short = sides.min(",
        "short = sides.max(",
        CROPS,
    ),
    Mutant(
        "crops",
        "half a pixel is rounded down",
        "offset = np.rint((resized - image_size) / 2)",
        "offset = np.floor((resized - image_size) / 2)",
        CROPS,
    ),
    Mutant(
        "crops",
        "the readable part of a stretched image lacks its first pixel",
        "low = np.floor(readable[:, :2] * zoom)",
        "low = np.ceil(readable[:, :2] * zoom)",
        CROPS,
    ),
    Mutant(
        "crops",
        "the readable part of a stretched image lacks its last pixel",
        "high = np.ceil(",
        "high = np.floor(",
        CROPS,
    ),
    Mutant(
        "resampling",
        "images are mirrored top to bottom",
        "shown.flip(1)",
        "shown.flip(2)",
        CROPS,
    ),
    Mutant(
        "resampling",
        "columns are read by the rows' windows",
        "windows[:, 1], size)",
        "windows[:, 0], size)",
        CROPS,
    ),
    Mutant(
        "resampling",
        "without antialiasing",
        "reach = scale.clamp(min=1)",
        "reach = scale.clamp(min=1, max=1)",
        CROPS,
    ),
    Mutant(
        "resampling",
        "pixels are taken at their corners",
        "dtype=torch.float32) + 0.5",
        "dtype=torch.float32)",
        CROPS,
    ),
    Mutant(
        "resampling",
        "the filter reads beyond the upper end",
        "((pixels > low[..., None]) & (pixels < high[..., None]))",
        "(pixels > low[..., None])",
        CROPS,
    ),
    Mutant(
        "resampling",
        "a block reads a pixel too few",
        "2 * max(scale, 1)) + 1)",
        "2 * max(scale, 1)))",
        CROPS,
    ),
    Mutant(
        "resampling",
        "all images of a batch are read from the first",
        "pixels + source * torch.arange(count, device=images.device)[:, None, None]",
        "pixels",
        CROPS,
    ),
    Mutant(
        "resampling",
        "the means are in the order of BGR",
        "MEAN = (0.485, 0.456, 0.406)",
        "MEAN = (0.406, 0.456, 0.485)",
        CROPS,
    ),
    Mutant(
        "resampling",
        "the standard deviation is multiplied",
        "(images - mean) / std",
        "(images - mean) * std",
        CROPS,
    ),
]

MODEL_MUTANTS = [
    Mutant(
        "model",
        "a frozen backbone's statistics move",
        "self.network.eval()",
        "self.network.train(mode)",
        MODEL,
    ),
    Mutant(
        "model",
        "the backbone is not frozen",
        "self.network.requires_grad_(False)",
        "self.network.requires_grad_(True)",
        MODEL,
    ),
    Mutant(
        "model",
        "the head is frozen too",
        "self.network.fc.requires_grad_(True)",
        "self.network.fc.requires_grad_(False)",
        MODEL,
    ),
    Mutant(
        "model",
        "weights ignore the seed",
        "torch.manual_seed(seed)",
        "torch.manual_seed(0)",
        MODEL,
    ),
    Mutant(
        "model",
        "the caller's generator is used up",
        "with torch.random.fork_rng(devices=[]):",
        "with torch.enable_grad():",
        MODEL,
    ),
    Mutant(
        "model",
        "Adam's own learning rate",
        "Adam(trained, lr=self.learning_rate, fused=fused)",
        "Adam(trained, fused=fused)",
        MODEL,
    ),
    Mutant(
        "model",
        "the optimizer holds frozen weights",
        "for parameter in self.parameters() if parameter.requires_grad]",
        "for parameter in self.parameters()]",
        MODEL,
    ),
    Mutant(
        "model",
        "loaded weights are left out",
        "network.load_state_dict(backbone, strict=False)",
        "network.load_state_dict({}, strict=False)",
        ("tests/test_weights.py::test_source_is_the_pinned_file",),
    ),
    Mutant(
        "model",
        "the test's accuracy counts in validation's",
        'self._evaluate(batch, "test", self.test_accuracy)',
        'self._evaluate(batch, "test", self.val_accuracy)',
        MODEL + train("the_result_holds_status_metrics_and_digests"),
    ),
    Mutant(
        "model",
        "top 5 is top 1",
        "top_k=min(TOP, classes)",
        "top_k=1",
        MODEL,
    ),
    Mutant(
        "model",
        "accuracy is the mean over classes",
        '"accuracy": MulticlassAccuracy(classes, average="micro")',
        '"accuracy": MulticlassAccuracy(classes, average="macro")',
        MODEL,
    ),
    Mutant(
        "model",
        "a small last batch counts as much as a whole one",
        'self.log(f"{split}/loss", loss, batch_size=len(labels), sync_dist=True)',
        'self.log(f"{split}/loss", loss, batch_size=1, sync_dist=True)',
        MODEL,
    ),
    Mutant(
        "model",
        "probabilities sum to 1 over the batch",
        "softmax(dim=1)",
        "softmax(dim=0)",
        MODEL,
    ),
]

TRAIN_MUTANTS = [
    Mutant(
        "train",
        "nondeterministic algorithms are allowed",
        "deterministic=True",
        "deterministic=False",
        train("only_deterministic_algorithms_are_used"),
    ),
    Mutant(
        "train",
        "the worst epoch is kept",
        'scratch, "best", monitor="val/loss",',
        'scratch, "best", monitor="val/loss", mode="max",',
        train("the_test_is_of_the_best_epoch"),
    ),
    Mutant(
        "train",
        "the best epoch is by training loss",
        "key=lambda row: row[2]",
        "key=lambda row: row[1]",
        train("losses_and_metrics_are_written_per_step_and_per_epoch"),
    ),
    Mutant(
        "train",
        "the last epoch is tested",
        'self.model.load_state_dict(checkpoint["state_dict"])',
        'checkpoint["state_dict"]',
        train("the_test_is_of_the_best_epoch"),
    ),
    Mutant(
        "train",
        "the resume key lacks the weights",
        "weights=weights.fingerprint(parameters.model)",
        'weights=""',
        train("weights_changed_under_their_name_have_a_scratch_directory_of_their_own"),
    ),
    Mutant(
        "train",
        "the resume key lacks the parameters",
        "digests.of_json([*vars(self).values(), place])",
        "digests.of_json([self.code, self.dataset, self.weights, self.environment, place])",
        train("whatever_matters_has_a_scratch_directory_of_its_own"),
    ),
    Mutant(
        "train",
        "the resume key lacks the batch size",
        'include={"image_size", "batch_size"}',
        'include={"image_size"}',
        train("whatever_matters_has_a_scratch_directory_of_its_own"),
    ),
    Mutant(
        "train",
        "an interrupted run begins anew",
        "ckpt_path=resumed",
        "ckpt_path=None",
        RESUME,
    ),
    Mutant(
        "train",
        "only every other epoch can be resumed",
        "self.last.parent, self.last.stem, save_on_train_epoch_end=True,",
        "self.last.parent, self.last.stem, every_n_epochs=2,",
        RESUME,
    ),
    Mutant(
        "train",
        "the run's own checkpoint is stale",
        "stale.name != key",
        "stale.name == key",
        train("a_checkpoint_of_other_inputs_is_not_resumed") + RESUME,
    ),
    Mutant(
        "train",
        "checkpoints stay after success",
        "yield home / key\n            shutil.rmtree(home / key)",
        "yield home / key",
        train("a_successful_run_leaves_no_checkpoint"),
    ),
    Mutant(
        "train",
        "the DataModule ignores the seed",
        "seed=parameters.seed)",
        "seed=0)",
        train("the_same_seed_gives_the_same_bytes_and_another_seed_others"),
    ),
    Mutant(
        "train",
        "the model ignores the seed",
        "FineTuner(classes, parameters.seed,",
        "FineTuner(classes, 0,",
        train("the_same_seed_gives_the_same_bytes_and_another_seed_others"),
    ),
    Mutant(
        "train",
        "the head learns at the backbone's rate",
        "parameters.model, train.learning_rate, train.fused",
        "parameters.model, train.backbone_learning_rate, train.fused",
        train("a_backbone_thaws_at_its_epoch_and_rate"),
    ),
    Mutant(
        "train",
        "freezing is ignored",
        "FeatureDataModule if parameters.model.freeze_backbone else ImageDataModule",
        "ImageDataModule",
        train("a_frozen_backbone_stays_and_its_head_learns"),
    ),
    Mutant(
        "train",
        "the precision is ignored",
        "precision=train.precision,",
        'precision="32-true",',
        train("the_precision_is_the_one_asked_for"),
    ),
    Mutant(
        "train",
        "batch norm learns before the thaw",
        "train_bn=False",
        "train_bn=True",
        train("a_backbone_thaws_at_its_epoch_and_rate"),
    ),
    Mutant(
        "train",
        "batch norm uses the batch's statistics before the thaw",
        "self.freeze(module.backbone.eval(),",
        "self.freeze(module.backbone,",
        train("until_the_thaw_the_head_sees_the_features_that_evaluation_sees"),
    ),
    Mutant(
        "train",
        "a run resumed after the thaw stays frozen",
        "if epoch >= self.unfreeze_backbone_at_epoch:",
        "if epoch == self.unfreeze_backbone_at_epoch:",
        RESUME,
    ),
    Mutant(
        "train",
        "the backbone thaws an epoch late",
        "ResumableBackboneFinetuning(train.unfreeze_epoch,",
        "ResumableBackboneFinetuning(train.unfreeze_epoch + 1,",
        train("a_backbone_thaws_at_its_epoch_and_rate"),
    ),
    Mutant(
        "train",
        "patience begins an epoch after the thaw",
        "if trainer.current_epoch >= self._start:",
        "if trainer.current_epoch > self._start:",
        train("patience_begins_with_the_thaw"),
    ),
    Mutant(
        "train",
        "patience does not wait for the thaw",
        "ResumableEarlyStopping(train.patience, start=train.unfreeze_epoch)",
        "ResumableEarlyStopping(train.patience, start=0)",
        train("patience_begins_with_the_thaw"),
    ),
    Mutant(
        "train",
        "an epoch too much of patience",
        "patience=patience, check_on_train_epoch_end=True",
        "patience=patience + 1, check_on_train_epoch_end=True",
        train("training_stops_when_validation_no_longer_improves"),
    ),
    Mutant(
        "train",
        "a resumed run forgets that it had stopped",
        "self.wait_count >= self.patience",
        "self.wait_count > self.patience",
        train("a_run_interrupted_after_its_last_epoch_trains_no_further"),
    ),
    Mutant(
        "train",
        "a test loss that is not finite passes",
        'self._require_finite(self.test["test/loss"], "test")',
        'self.test["test/loss"]',
        train("a_run_that_diverges_in_its_test_says_so"),
    ),
    Mutant(
        "train",
        "the digest of the order is the first epoch's",
        '"order": order[max(order)]',
        '"order": order[min(order)]',
        train("the_result_holds_status_metrics_and_digests"),
    ),
    Mutant(
        "train",
        "the time of the features does not count",
        "total = run.features_seconds + sum(run.epoch_timer.seconds)",
        "total = sum(run.epoch_timer.seconds)",
        train("a_frozen_backbone_stays_and_its_head_learns"),
    ),
    Mutant(
        "train",
        "losses lose digits",
        'f"{value:.9g}"',
        'f"{value:.7g}"',
        train("losses_are_written_exactly"),
    ),
]

EVIDENCE_MUTANTS = [
    Mutant(
        "history",
        "losses of an epoch count in the next one's too",
        "self._pending.clear()\n        first",
        "self._pending.copy()\n        first",
        train("losses_and_metrics_are_written_per_step_and_per_epoch"),
    ),
    Mutant(
        "history",
        "losses belong to the epoch after",
        "(first + k, epoch, loss)",
        "(first + k, epoch + 1, loss)",
        train("losses_and_metrics_are_written_per_step_and_per_epoch"),
    ),
    Mutant(
        "history",
        "steps are numbered within their epoch",
        "first = len(self.steps)",
        "first = 0",
        train("losses_and_metrics_are_written_per_step_and_per_epoch"),
    ),
    Mutant(
        "history",
        "the last step's loss stands for the epoch",
        "sum(losses) / len(losses)",
        "losses[-1]",
        train("losses_and_metrics_are_written_per_step_and_per_epoch"),
    ),
    Mutant(
        "history",
        "the last epoch is not recorded",
        "self.epochs.append((epoch, ",
        "if epoch + 1 < trainer.max_epochs:\n            self.epochs.append((epoch, ",
        train("the_result_holds_status_metrics_and_digests"),
    ),
    Mutant(
        "history",
        "accuracy and top 5 change places",
        'for n in ("loss", "accuracy", "top5")',
        'for n in ("loss", "top5", "accuracy")',
        train("the_result_holds_status_metrics_and_digests", "the_test_is_of_the_best_epoch"),
    ),
    Mutant(
        "history",
        "a resumed run forgets its epochs",
        'list(state_dict["epochs"])',
        "[]",
        RESUME,
    ),
    Mutant(
        "history",
        "a resumed run forgets its wall times",
        'self.seconds = list(state_dict["seconds"])',
        "self.seconds = []",
        RESUME,
    ),
    Mutant(
        "history",
        "the clock is read while the device works",
        "synchronise(self._accelerator)\n        return",
        "return",
        RECORDER,
    ),
    Mutant(
        "digest_log",
        "each epoch's chain begins anew",
        'next(reversed(self.order.values()), "")',
        'self.order.get(epoch, "")',
        DIGEST_LOG,
    ),
    Mutant(
        "digest_log",
        "the chain does not tell epochs apart",
        "chain(previous, [epoch, indices])",
        "chain(previous, [indices])",
        DIGEST_LOG,
    ),
    Mutant(
        "digest_log",
        "a batch of pixels too many",
        "self.pixel_batches < self._wanted",
        "self.pixel_batches <= self._wanted",
        DIGEST_LOG,
    ),
    Mutant(
        "digest_log",
        "only the last batch's pixels are digested",
        "chain(self.pixels, tensors)",
        'chain("", tensors)',
        DIGEST_LOG,
    ),
    Mutant(
        "digest_log",
        "a resumed run digests pixels again",
        'self.pixel_batches = state["pixel_batches"]',
        "self.pixel_batches = 0",
        DIGEST_LOG,
    ),
]

OTHER_MUTANTS = [
    Mutant(
        "cache",
        "images are stored at half the size",
        "ZOOM = 8\n",
        "ZOOM = 4\n",
        CACHE,
    ),
    Mutant(
        "cache",
        "the key lacks the image size",
        "*decoder, self.image_size, self.limit_gib]",
        "*decoder, self.limit_gib]",
        CACHE,
    ),
    Mutant(
        "cache",
        "the key lacks the limit",
        "*decoder, self.image_size, self.limit_gib]",
        "*decoder, self.image_size]",
        CACHE,
    ),
    Mutant(
        "cache",
        "the key lacks the times of change",
        "{status.st_size}\\0{times}\\n",
        "{status.st_size}\\n",
        CACHE,
    ),
    Mutant(
        "cache",
        "the smallest image decides",
        "np.minimum(shapes.max(axis=0),",
        "np.minimum(shapes.min(axis=0),",
        CACHE,
    ),
    Mutant(
        "cache",
        "the limit is ignored",
        "if size <= self.limit_gib * 2**30:",
        "if size >= self.limit_gib:",
        CACHE,
    ),
    Mutant(
        "folder",
        "a split begins after itself",
        "SPLITS[: SPLITS.index(split)]",
        "SPLITS[: SPLITS.index(split) + 1]",
        FOLDER,
    ),
    Mutant(
        "folder",
        "files in the order of the disk",
        "sorted(folder.iterdir())",
        "reversed(list(folder.iterdir()))",
        FOLDER,
    ),
    Mutant(
        "folder",
        "one of EXIF's sideways orientations is upright",
        ".get(0x0112, 1) >= 5",
        ".get(0x0112, 1) > 5",
        FOLDER,
    ),
    Mutant(
        "folder",
        "labels count the images",
        "for label, paths in enumerate(images) for _ in paths",
        "for paths in images for label, _ in enumerate(paths)",
        FOLDER,
    ),
    Mutant(
        "features",
        "of augmented images",
        'super()._view("test", images)',
        "super()._view(split, images)",
        FEATURES,
    ),
    Mutant(
        "features",
        "computed in the shuffled order",
        "seed=self.seed, shuffle=False",
        "seed=self.seed, shuffle=True",
        FEATURES,
    ),
    Mutant(
        "features",
        "pixels of every split are recorded",
        'if split == "train" and self.digest_log.wants_pixels:',
        "if self.digest_log.wants_pixels:",
        FEATURES,
    ),
    Mutant(
        "features",
        "labels of other samples",
        "self._labels[indices], numbers",
        "self._labels[: len(indices)], numbers",
        FEATURES,
    ),
]

COMPARISON_MUTANTS = [
    Mutant(
        "statistics",
        "Student's quantile has a degree of freedom too many",
        "(1 + confidence) / 2, len(samples) - 1",
        "(1 + confidence) / 2, len(samples)",
        STATISTICS,
    ),
    Mutant(
        "statistics",
        "the quantile of one side",
        "reach = student.ppf((1 + confidence) / 2,",
        "reach = student.ppf(confidence,",
        STATISTICS,
    ),
    Mutant(
        "statistics",
        "a quotient has the errors of its numerator alone",
        "up = hypot(log(self.high / self.estimate), log(other.estimate / other.low))",
        "up = log(self.high / self.estimate)",
        STATISTICS,
    ),
    Mutant(
        "statistics",
        "the noise floor does not matter",
        "return 1 not in ratio and all(",
        "return 1 not in ratio or all(",
        STATISTICS,
    ),
    Mutant(
        "statistics",
        "slowdowns are never beyond the noise",
        "change = max(ratio.estimate, 1 / ratio.estimate)",
        "change = ratio.estimate",
        STATISTICS,
    ),
    Mutant(
        "samples",
        "blocks with a compilation count",
        'None if b["compilations"] else images',
        "images",
        SAMPLES,
    ),
    Mutant(
        "samples",
        "loaders are compared by process and not by core",
        "median(known) * cores.get(other, 1) / cores.get(one, 1)",
        "median(known)",
        SAMPLES,
    ),
    Mutant(
        "samples",
        "a second block of the trainer's does not count",
        'return [mode, AA] if mode == "trainer" else [mode]',
        "return [mode]",
        SAMPLES,
    ),
    Mutant(
        "samples",
        "ratios of medians, not of blocks that ran side by side",
        "return median(known) * cores",
        "return self.rate(one) / self.rate(other) * cores",
        SAMPLES,
    ),
    Mutant(
        "parity",
        "equal losses are enough for equal bits",
        'if parted is None and one.digests["weights"] == other.digests["weights"]:',
        "if parted is None:",
        PARITY,
    ),
    Mutant(
        "parity",
        "initial weights may differ",
        '"initial weights": one.digests["initial_weights"] == other.digests["initial_weights"],',
        "",
        PARITY,
    ),
    Mutant(
        "parity",
        "pixels may differ",
        '"pixels": one.digests["pixels"] == other.digests["pixels"],',
        "",
        PARITY,
    ),
    Mutant(
        "parity",
        "orders are compared at their ends",
        "for t in (one, other)) - 1\n",
        "for t in (one, other)) * 0 - 1\n",
        PARITY,
    ),
    Mutant(
        "parity",
        "steps are counted from 0",
        "enumerate(pairs, start=1)",
        "enumerate(pairs)",
        PARITY,
    ),
    Mutant(
        "parity",
        "every step that is close counts, whatever came before",
        "len(list(takewhile(_close, pairs)))",
        "len(list(filter(_close, pairs)))",
        PARITY,
    ),
    Mutant(
        "parity",
        "questions that both answer alike count too",
        "binomtest(first, first + second)",
        "binomtest(first, len(pairs))",
        PARITY,
    ),
    Mutant(
        "parity",
        "no correction for many pairs",
        "SIGNIFICANCE / tests",
        "SIGNIFICANCE",
        PARITY,
    ),
    Mutant(
        "comparison",
        "speeds of other workloads have a ratio",
        "return f\"other {', '.join(names)}\" if names else None",
        "return None",
        REPORT,
    ),
    Mutant(
        "comparison",
        "the time of features is left out",
        "initial=before))[1:]",
        "initial=0.0))[1:]",
        REPORT,
    ),
    Mutant(
        "comparison",
        "runs that missed the target count as well",
        'sum(run["to_target"] is not None for run in runs)',
        "len(runs)",
        REPORT,
    ),
    Mutant(
        "record",
        "this machine's own export stands beside it",
        "[record for record in records.values() if record.machine != own]",
        "[*records.values()]",
        REPORT,
    ),
    Mutant(
        "gate",
        "a loss within the noise fails",
        "self.what in GATED and self.detected and 1",
        "self.what in GATED and 1",
        GATE,
    ),
    Mutant(
        "gate",
        "a loss in any mode fails",
        "self.what in GATED and self.detected",
        "self.detected",
        GATE,
    ),
    Mutant(
        "gate",
        "before and after change places",
        "ratio = other.over(one)",
        "ratio = one.over(other)",
        GATE,
    ),
    Mutant(
        "gate",
        "what cannot be compared passes",
        "INCOMPARABLE if refusals else OK",
        "OK",
        GATE,
    ),
    Mutant(
        "gate",
        "only the first side's noise counts",
        "for r in (before, after)]\n    one, other = map(interval, rates)",
        "for r in (after,)]\n    one, other = map(interval, rates)",
        GATE,
    ),
    Mutant(
        "replay",
        "equal losses are enough",
        "if parted is None and repeated.first.weights !=",
        "if parted and repeated.first.weights !=",
        REPLAY,
    ),
    Mutant(
        "replay",
        "the whole training is repeated",
        "trainer.should_stop or trainer.global_step >= self._steps",
        "trainer.should_stop",
        REPLAY,
    ),
    Mutant(
        "replay",
        "the control is judged by the training's losses",
        "return own.control, from_scratch(",
        "return own, from_scratch(",
        REPLAY,
    ),
    Mutant(
        "comparison",
        "only the first training's replay is flagged",
        "for n, t in trainings(name, entry).items() if not",
        "for n, t in [(name, entry['training'])] if not",
        REPORT,
    ),
    Mutant(
        "comparison",
        "other machines are not compared with one another",
        "*product(near, far), *combinations(far, 2)]",
        "*product(near, far)]",
        REPORT,
    ),
    Mutant(
        "comparison",
        "equal models count as further tests",
        "sum(len(pair) == 2 for pair in models)",
        "len(pairs)",
        REPORT,
    ),
    Mutant(
        "comparison",
        "pairs that cannot be compared count as tests",
        "        and not parity.unlike(*(record.training for record in pair))\n",
        "",
        REPORT,
    ),
    Mutant(
        "comparison",
        "other software goes unsaid",
        "if known.get(n) != v]",
        "if known.get(n) is None]",
        REPORT,
    ),
    Mutant(
        "parity",
        "a training that stopped early is equal through the last step",
        "if ends == {through}:",
        "if through in ends:",
        PARITY,
    ),
    Mutant(
        "parity",
        "the difference of two models has the wrong sign",
        "return (gained - lost) / asked,",
        "return (lost - gained) / asked,",
        PARITY,
    ),
    Mutant(
        "gate",
        "an unstable rate can fail the gate",
        "rates = [] if doubts(before, after) else",
        "rates =",
        GATE,
    ),
    Mutant(
        "gate",
        "commits measured on two machines are compared",
        "if before.machine != after.machine and not other_machine:",
        "if False:",
        GATE,
    ),
    Mutant(
        "record",
        "images are those of any dataset",
        'read_result(DATASET)["images"]["train"]',
        "1000",
        ("tests/test_record.py",),
    ),
    Mutant(
        "history",
        "the digest of the first steps comes a step late",
        "if trainer.global_step == FIRST_STEPS:",
        "if trainer.global_step == FIRST_STEPS + 1:",
        train("the_first_steps_leave_a_digest"),
    ),
    Mutant(
        "history",
        "an interrupted run forgets the digest of its first steps",
        'self.steps, self.weights = state_dict["steps"], state_dict["weights"]',
        "pass",
        train("a_run_interrupted_later_keeps_the_digest_of_its_first_steps"),
    ),
    Mutant(
        "page",
        "names are not escaped",
        "autoescape=True",
        "autoescape=False",
        GOLDEN,
    ),
    Mutant(
        "markdown",
        "names are not escaped",
        '.replace("<", "&lt;")',
        "",
        GOLDEN,
    ),
]

MUTANTS = [
    *DATAMODULE_MUTANTS, *SAMPLER_MUTANTS, *AUGMENTATION_MUTANTS, *MODEL_MUTANTS,
    *TRAIN_MUTANTS, *EVIDENCE_MUTANTS, *OTHER_MUTANTS, *COMPARISON_MUTANTS,
]  # fmt: skip


def main(parts: list[str]) -> int:
    """Try the mutants whose names hold one of `parts`, all without any; an exit status."""
    chosen = [m for m in MUTANTS if not parts or any(part in m.name for part in parts)]
    if not chosen:
        return _refused(f"No mutant's name holds {' or '.join(parts)}.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_repository(copy)
        failure = first_failure(copy, {test for mutant in chosen for test in mutant.tests})
        if failure:
            return _refused(f"{failure} fails without a mutant. Mend that first.")
        killed = [is_killed(copy, mutant) for mutant in chosen].count(True)
    print(f"{killed} of {len(chosen)} killed ({killed / len(chosen):.1%})")
    return int(killed < REQUIRED * len(chosen))


def copy_repository(target: Path) -> None:
    """All files but those that git ignores; a test that is new counts before it is added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.rstrip("\0").split("\0"):
        path = target / name
        if not (REPOSITORY / name).is_file():  # a link to an environment elsewhere
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, path)


def is_killed(root: Path, mutant: Mutant) -> bool:
    """Whether a test fails with `mutant` in the copy at `root`; says which."""
    path = root / mutant.path
    original = path.read_text("utf-8")
    path.write_text(mutant.applied(original), "utf-8")
    failure = first_failure(root, mutant.tests, TIMEOUT)
    path.write_text(original, "utf-8")
    verdict = f"killed by {failure}" if failure else "SURVIVED"
    print(f"{mutant.name}: {verdict}", flush=True)
    return failure is not None


def first_failure(root: Path, tests: Iterable[str], timeout: float | None = None) -> str | None:
    """The node id of the first of `tests` that fails in the copy at `root`."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *tests], cwd=root, timeout=timeout, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return f"no end within {timeout} s"
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    return failed[1] if failed else f"pytest's exit status {done.returncode}"


def _refused(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

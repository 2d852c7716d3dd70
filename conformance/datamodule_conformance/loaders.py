"""Return values of loader hooks: the DataLoaders in them, their samples, and how to change them."""

import contextlib
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any, cast

from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler

from datamodule_conformance.digests import MAX_DEPTH, digest
from datamodule_conformance.generators import get_states, restorer, seeded, set_states
from datamodule_conformance.probe import SampleDigests

WORKER_TIMEOUT = 600.0
"""Seconds after which a loader's worker counts as hanging."""
MAX_BATCHES = 200
"""Batches after which a pass over a loader without a length ends."""
MAX_SAMPLES = 100_000
"""Samples after which a pass over a sampler ends: it may be infinite."""


def flatten(loaders: Any) -> list[Any]:
    """The loaders, of any class, in nested containers."""
    if _is_combined(loaders):
        return list(loaders.flattened)
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        return [leaf for loader in loaders for leaf in flatten(loader)]
    return [] if loaders is None else [loaders]


def dataloaders(loaders: Any) -> list[DataLoader[Any]]:
    """The loaders that are instances of torch's DataLoader."""
    return [loader for loader in flatten(loaders) if isinstance(loader, DataLoader)]


def all_dataloaders(loaders: Any) -> bool:
    """Whether all loaders are instances of torch's DataLoader."""
    return len(dataloaders(loaders)) == len(flatten(loaders))


def all_map_style(loaders: Any) -> bool:
    """Whether all loaders are DataLoaders over a map-style dataset."""
    return all_dataloaders(loaders) and all(map(_is_map_style, dataloaders(loaders)))


def limit_length(loaders: Any) -> None:
    """End each pass over a loader without a length after MAX_BATCHES."""
    for loader in flatten(loaders):
        try:
            len(loader)
        except Exception:  # a user's __len__ may raise anything
            _replace_iter(loader, lambda make_iterator: _first_batches(make_iterator()))


def freeze_rng_on_iter(loaders: Any) -> None:
    """Restore all generators after iter(loader): global ones, the loader's and the dataset's.

    Lightning makes one iterator more if it reloads, and that one would draw a seed.
    """
    for loader in dataloaders(loaders):
        _replace_iter(loader, functools.partial(_iter_with_frozen_rng, loader))


def set_workers(loaders: Any, count: int) -> None:
    """Give each DataLoader `count` worker processes."""
    for loader in dataloaders(loaders):
        loader.num_workers = count
        loader.prefetch_factor = 2 if count else None
        loader.timeout = (loader.timeout or WORKER_TIMEOUT) if count else 0
        if not count:
            # A plain assignment is refused after __init__.
            object.__setattr__(loader, "persistent_workers", False)


def record_samples(loaders: Any, in_parallel: bool) -> "deque[SampleDigests | None]":
    """The samples that the datasets will return, batch by batch.

    It stays empty for loaders with workers and for several loaders that Lightning reads in parallel
    (`in_parallel`: training), because one step then gets several batches.
    """
    recorded: deque[SampleDigests | None] = deque()
    parallel = _is_combined(loaders) or (in_parallel and len(flatten(loaders)) > 1)
    workers = any(loader.num_workers for loader in dataloaders(loaders))
    if not workers and not parallel and all_map_style(loaders):
        for loader in dataloaders(loaders):
            loader.collate_fn = _RecordingCollate(loader.collate_fn, recorded)
    return recorded


def reseed_draws(loaders: Any, seed: str, epoch: Callable[[], int]) -> None:
    """Make the loaders' draws from the global generators independent of the generators' states.

    The order becomes a function of seed and epoch, a sample a function of seed and index.
    """
    for loader in filter(_is_map_style, dataloaders(loaders)):
        sampler = _ReseededSampler(loader.batch_sampler, lambda: f"{seed} epoch {epoch()}")
        # Plain assignments are refused after __init__.
        object.__setattr__(loader, "dataset", _reseeded_dataset(loader.dataset, seed))
        object.__setattr__(loader, "batch_sampler", sampler)
        loader.collate_fn = _ReseededCollate(loader.collate_fn, seed)


def dataset_size(loaders: Any) -> int | None:
    """The number of samples behind the loaders.

    None if it is unknown: an iterable dataset, or a sampler that cuts pieces out of a sample.
    """
    if not dataloaders(loaders) or not all_map_style(loaders):
        return None
    if any(map(_samples_are_pieces, dataloaders(loaders))):
        return None
    sizes = 0
    for loader in dataloaders(loaders):
        sampler, dataset = loader.sampler, cast(Sized, loader.dataset)
        # The indices of this sampler are a split.
        sizes += len(sampler.indices if isinstance(sampler, SubsetRandomSampler) else dataset)
    return sizes


def sampler_order(loader: Any, limit: int = MAX_SAMPLES) -> list[Any] | None:
    """The indices of one more epoch, from the loader's own sampler; None if it has no sampler."""
    if not isinstance(loader, DataLoader) or not _is_map_style(loader):
        return None
    batches: Any = loader.batch_sampler
    return list(itertools.islice(itertools.chain.from_iterable(batches), limit))


def sample_digest(loader: Any, index: Any, seed: str) -> str | None:
    """The digest of one sample, read while the global generators start from `seed`."""
    get_batch = getattr(loader.dataset, "__getitems__", None)
    with seeded(seed):
        return digest(get_batch([index]) if get_batch else loader.dataset[index])


def all_sample_digests(loaders: Any) -> list[str]:
    """The digests of the samples of one more pass, all read from the same generator state."""
    digests = (
        sample_digest(loader, index, "a sample")
        for loader in dataloaders(loaders)
        for index in sampler_order(loader) or ()
    )
    return [value for value in digests if value]


class _RecordingCollate:
    """A collate_fn that records the digests of its samples."""

    def __init__(
        self, collate: Callable[..., Any], recorded: "deque[SampleDigests | None]"
    ) -> None:
        self.collate = collate
        self.recorded = recorded

    def __call__(self, samples: Any) -> Any:
        # __getitems__ may return a complete batch instead of a list of samples.
        digests = [digest(sample) for sample in samples] if isinstance(samples, list) else [None]
        digested = [value for value in digests if value is not None]
        self.recorded.append(tuple(digested) if len(digested) == len(digests) else None)
        return self.collate(samples)


class _ReseededSampler:
    """A batch sampler whose passes draw from generators that are seeded for each epoch."""

    def __init__(self, sampler: Any, seed: Callable[[], str]) -> None:
        self.batches = sampler
        self.seed = seed

    def __iter__(self) -> Iterator[Any]:
        with seeded(self.seed()):
            batches = list(itertools.islice(self.batches, MAX_SAMPLES))
        yield from batches  # a generator, since Lightning calls set_epoch after iter()

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "batches":
            raise AttributeError(name)
        return getattr(self.batches, name)


class _ReseededCollate:
    """A collate_fn whose draws come from generators that are seeded for each batch."""

    def __init__(self, collate: Callable[..., Any], seed: str) -> None:
        self.collate = collate
        self.seed = seed

    def __call__(self, samples: Any) -> Any:
        with seeded(f"{self.seed} batch"):
            return self.collate(samples)


def _reseeded_dataset(dataset: Any, seed: str) -> Any:
    """The dataset, with each sample drawn from generators that are seeded from seed and index.

    Its class is derived from the original one, because a loader may check it. An object without
    attributes is returned as it is: it has nothing to draw with.
    """
    kind: Any = type(dataset)

    def get_sample(self: Any, index: Any) -> Any:
        with seeded(f"{seed} sample {index}"):
            return kind.__getitem__(self, index)

    def get_batch(self: Any, indices: list[Any]) -> Any:
        with seeded(f"{seed} samples {indices}"):
            return kind.__getitems__(self, indices)

    methods = {"__module__": kind.__module__, "__getitem__": get_sample}
    methods |= {"__getitems__": get_batch} if hasattr(kind, "__getitems__") else {}
    try:
        reseeded: Any = object.__new__(type(kind.__name__, (kind,), methods))
        reseeded.__dict__ = vars(dataset)
    except TypeError:
        return dataset
    return reseeded


def _is_combined(loaders: Any) -> bool:
    """Whether this is a CombinedLoader of either of Lightning's packages."""
    return hasattr(loaders, "flattened")


def _is_map_style(loader: DataLoader[Any]) -> bool:
    return loader.batch_sampler is not None and not isinstance(loader.dataset, IterableDataset)


def _first_batches(iterator: Iterator[Any]) -> Iterator[Any]:
    """At most MAX_BATCHES; by next() alone, because iter() would restart some loaders."""
    with contextlib.suppress(StopIteration):
        for _ in range(MAX_BATCHES):
            yield next(iterator)


def _replace_iter(loader: Any, change: Callable[[Callable[[], Any]], Any]) -> None:
    """Let iter(loader) return `change(make_iterator)`."""
    kind = type(loader)
    methods = {
        "__module__": kind.__module__,
        "__iter__": lambda self: change(functools.partial(kind.__iter__, self)),
    }
    loader.__class__ = type(kind.__name__, (kind,), methods)


def _iter_with_frozen_rng(loader: DataLoader[Any], make_iterator: Callable[[], Any]) -> Any:
    restorers = [restorer(value) for value in (loader.generator, *_attributes(loader.dataset))]
    states = get_states()
    iterator = make_iterator()
    set_states(states)
    for restore in filter(None, restorers):
        restore()
    return iterator


def _attributes(dataset: Any) -> Iterator[Any]:
    """The values of a dataset's attributes, and of the dataset that it wraps as Subset does."""
    for _ in range(MAX_DEPTH):
        attributes = getattr(dataset, "__dict__", {})
        yield from attributes.values()
        dataset = attributes.get("dataset")


def _samples_are_pieces(loader: DataLoader[Any]) -> bool:
    """Whether the sampler yields slices or coordinates, which cut pieces out of a sample."""
    indices: list[Any] = []
    with contextlib.suppress(Exception):  # teardown may have closed the sampler's data
        indices = sampler_order(loader, limit=1) or []
    parts = [part for index in indices for part in (index if isinstance(index, tuple) else [index])]
    return any(isinstance(part, (slice, float)) for part in parts)

"""Return values of loader hooks: the DataLoaders in them, their samples, and how to change them."""

import contextlib
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any, cast

from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, get_worker_info

from lightning_conformance.digests import MAX_DEPTH, digest
from lightning_conformance.generators import (
    get_states,
    make_restorer,
    seed_all,
    seed_temporarily,
    set_states,
)
from lightning_conformance.probe import SampleDigests

WORKER_TIMEOUT = 600.0
"""Seconds that a loader waits for a batch of its workers before it raises."""
MAX_BATCHES = 200
"""Batches after which a pass over a loader without a length ends."""
MAX_SAMPLES = 100_000
"""Samples after which a pass over a sampler ends: it may be infinite."""


def flatten(loaders: Any) -> list[Any]:
    """Collect all loaders, of any class, from nested containers into one list."""
    if hasattr(loaders, "flattened"):  # a CombinedLoader of either of Lightning's packages
        return list(loaders.flattened)
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, (list, tuple)):
        return [leaf for loader in loaders for leaf in flatten(loader)]
    return [] if loaders is None else [loaders]


def dataloaders(loaders: Any) -> list[DataLoader[Any]]:
    """Return the loaders that are instances of torch's DataLoader."""
    return [loader for loader in flatten(loaders) if isinstance(loader, DataLoader)]


def all_dataloaders(loaders: Any) -> bool:
    """Return whether all loaders are instances of torch's DataLoader."""
    return len(dataloaders(loaders)) == len(flatten(loaders))


def all_map_style(loaders: Any) -> bool:
    """Return whether all loaders are DataLoaders over a map-style dataset."""
    return all_dataloaders(loaders) and all(map(_is_map_style, dataloaders(loaders)))


def limit_length(loaders: Any) -> None:
    """Patch each loader without a length so that a pass ends after MAX_BATCHES."""
    for loader in flatten(loaders):
        try:
            len(loader)
        except Exception:  # a user's __len__ may raise anything
            _replace_iter(loader, lambda make_iterator: _first_batches(make_iterator()))


def freeze_rng_on_iter(loaders: Any) -> None:
    """Patch each DataLoader so that iter(loader) leaves all generators as they were.

    A DataLoader draws a seed in iter(), and Lightning calls iter() once more if it reloads loaders.
    The generators are the global ones, the loader's and those in the dataset's attributes. Draws
    while iterating are not affected.
    """
    for loader in dataloaders(loaders):
        _replace_iter(loader, functools.partial(_iter_with_frozen_rng, loader))


def seed_on_iter(loaders: Any, text: Callable[[], str]) -> None:
    """Patch each DataLoader so that iter(loader) first seeds the global generators from text()."""

    def seeded(make_iterator: Callable[[], Any]) -> Any:
        seed_all(text())
        return make_iterator()

    for loader in dataloaders(loaders):
        _replace_iter(loader, seeded)


def set_workers(loaders: Any, count: int) -> None:
    """Set the number of worker processes of each DataLoader, and the options that depend on it."""
    for loader in dataloaders(loaders):
        loader.num_workers = count
        loader.prefetch_factor = 2 if count else None
        loader.timeout = (loader.timeout or WORKER_TIMEOUT) if count else 0
        if not count:
            # A plain assignment is refused after __init__.
            object.__setattr__(loader, "persistent_workers", False)


def record_samples(loaders: Any, in_parallel: bool) -> "deque[SampleDigests | None]":
    """Patch collate_fn to append each batch's sample digests to a queue; return the queue.

    The element of a batch whose samples can't be digested one by one is None. Nothing is patched,
    and the queue stays empty, if a loader is not a map-style DataLoader, if one has workers (they
    collate in their processes), or if a step gets a batch of each of several loaders. The last is
    the case for a CombinedLoader, and in training (`in_parallel`).
    """
    recorded: deque[SampleDigests | None] = deque()
    parallel = hasattr(loaders, "flattened") or (in_parallel and len(flatten(loaders)) > 1)
    workers = any(loader.num_workers for loader in dataloaders(loaders))
    if not workers and not parallel and all_map_style(loaders):
        for loader in dataloaders(loaders):
            loader.collate_fn = _RecordingCollate(loader.collate_fn, recorded)
    return recorded


def reseed_draws(loaders: Any, seed: str, epoch: Callable[[], int]) -> None:
    """Patch each DataLoader so that its draws do not depend on the generators' states.

    The order and an iterable dataset's draws become a function of seed and epoch, a sample a
    function of seed and index. This applies to draws from the global generators only.
    """

    def epoch_seed() -> str:
        return f"{seed} epoch {epoch()}"

    for loader in dataloaders(loaders):
        dataset: Any = loader.dataset
        if isinstance(dataset, IterableDataset):
            dataset = _subclassed(dataset, {"__iter__": _reseeded_iter(dataset, epoch_seed)})
        else:
            name = "sampler" if loader.batch_sampler is None else "batch_sampler"
            sampler = _ReseededSampler(getattr(loader, name), epoch_seed)
            # Plain assignments are refused after __init__.
            object.__setattr__(loader, name, sampler)
            dataset = _reseeded_dataset(dataset, seed)
        object.__setattr__(loader, "dataset", dataset)
        loader.collate_fn = _ReseededCollate(loader.collate_fn, seed)


def dataset_size(loaders: Any) -> int | None:
    """Return the number of samples in the loaders' datasets.

    None if this is unknown: an iterable dataset, or a sampler that cuts pieces out of a sample.
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
    """Iterate over the loader's sampler; return an epoch's indices, or None without a sampler."""
    if not isinstance(loader, DataLoader) or not _is_map_style(loader):
        return None
    batches: Any = loader.batch_sampler
    return list(itertools.islice(itertools.chain.from_iterable(batches), limit))


def sample_digest(loader: Any, index: Any, seed: str) -> str | None:
    """Read one sample while the global generators are seeded from `seed`; return its digest."""
    get_batch = getattr(loader.dataset, "__getitems__", None)
    with seed_temporarily(seed):
        return digest(get_batch([index]) if get_batch else loader.dataset[index])


def all_sample_digests(loaders: Any) -> list[str]:
    """Read the samples of one more pass, each from the same generator state; return digests."""
    digests = (
        sample_digest(loader, index, "a sample")
        for loader in dataloaders(loaders)
        for index in sampler_order(loader) or ()
    )
    return [value for value in digests if value]


class _RecordingCollate:
    """A collate_fn that appends the digests of its samples to `recorded`."""

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
    """A batch sampler that seeds the global generators for each epoch, then restores them."""

    def __init__(self, sampler: Any, seed: Callable[[], str]) -> None:
        self.batches = sampler
        self.seed = seed

    def __iter__(self) -> Iterator[Any]:
        with seed_temporarily(self.seed()):
            batches = list(itertools.islice(self.batches, MAX_SAMPLES))
        yield from batches  # a generator, since Lightning calls set_epoch after iter()

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "batches":
            raise AttributeError(name)
        return getattr(self.batches, name)


class _ReseededCollate:
    """A collate_fn that seeds the global generators for each batch, then restores them."""

    def __init__(self, collate: Callable[..., Any], seed: str) -> None:
        self.collate = collate
        self.seed = seed

    def __call__(self, samples: Any) -> Any:
        with seed_temporarily(f"{self.seed} batch"):
            return self.collate(samples)


def _reseeded_dataset(dataset: Any, seed: str) -> Any:
    """Return a dataset that reads each sample with generators seeded from seed and index."""
    kind: Any = type(dataset)

    def get_sample(self: Any, index: Any) -> Any:
        with seed_temporarily(f"{seed} sample {index}"):
            return kind.__getitem__(self, index)

    def get_batch(self: Any, indices: list[Any]) -> Any:
        with seed_temporarily(f"{seed} samples {indices}"):
            return kind.__getitems__(self, indices)

    methods: dict[str, Any] = {"__getitem__": get_sample}
    methods |= {"__getitems__": get_batch} if hasattr(kind, "__getitems__") else {}
    return _subclassed(dataset, methods)


def _reseeded_iter(dataset: Any, seed: Callable[[], str]) -> Callable[[Any], Iterator[Any]]:
    """Return an __iter__ that has its own global generators, seeded for each pass and worker."""
    kind: Any = type(dataset)

    def iterate(self: Any) -> Iterator[Any]:
        worker = get_worker_info()
        with seed_temporarily(f"{seed()} worker {worker.id if worker else 0}"):
            iterator = iter(kind.__iter__(self))
            states = get_states()
        while True:
            outside = get_states()
            set_states(states)
            try:
                sample = next(iterator)
            except StopIteration:
                return
            finally:
                states = get_states()
                set_states(outside)
            yield sample

    return iterate


def _subclassed(dataset: Any, methods: dict[str, Any]) -> Any:
    """Return a dataset with these methods instead, which shares its attributes with `dataset`.

    Its class derives from the class of `dataset`, which a loader may check. A dataset without a
    __dict__, such as a list, is returned unchanged.
    """
    kind = type(dataset)
    try:
        made: Any = object.__new__(
            type(kind.__name__, (kind,), {"__module__": kind.__module__} | methods)
        )
        made.__dict__ = vars(dataset)
    except TypeError:
        return dataset
    return made


def _is_map_style(loader: DataLoader[Any]) -> bool:
    return loader.batch_sampler is not None and not isinstance(loader.dataset, IterableDataset)


def _first_batches(iterator: Iterator[Any]) -> Iterator[Any]:
    """Yield at most MAX_BATCHES. Only next() is used, because iter() would restart some loaders."""
    with contextlib.suppress(StopIteration):
        for _ in range(MAX_BATCHES):
            yield next(iterator)


def _replace_iter(loader: Any, change: Callable[[Callable[[], Any]], Any]) -> None:
    """Let iter(loader) return `change(make_iterator)`; make_iterator() is the original iter."""
    kind = type(loader)
    methods = {
        "__module__": kind.__module__,
        "__iter__": lambda self: change(functools.partial(kind.__iter__, self)),
    }
    loader.__class__ = type(kind.__name__, (kind,), methods)


def _iter_with_frozen_rng(loader: DataLoader[Any], make_iterator: Callable[[], Any]) -> Any:
    """Return make_iterator(), then restore the generators from which it may have drawn."""
    dataset: Any = loader.dataset
    values: list[Any] = [loader.generator]
    for _ in range(MAX_DEPTH):  # the datasets that it wraps as Subset does
        attributes = getattr(dataset, "__dict__", {})
        values += attributes.values()
        dataset = attributes.get("dataset")
    restorers = [make_restorer(value) for value in values]
    states = get_states()
    iterator = make_iterator()
    set_states(states)
    for restore in filter(None, restorers):
        restore()
    return iterator


def _samples_are_pieces(loader: DataLoader[Any]) -> bool:
    """Return whether the sampler yields slices or coordinates, which cut pieces out of a sample.

    A list of indices is also no sample: the dataset returns a whole batch for it.
    """
    indices: list[Any] = []
    with contextlib.suppress(Exception):  # teardown may have closed the sampler's data
        indices = sampler_order(loader, limit=1) or []
    parts = [part for index in indices for part in (index if isinstance(index, tuple) else [index])]
    return any(isinstance(part, (slice, float, list)) for part in parts)

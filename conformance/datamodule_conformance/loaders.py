"""What a loader hook returned: the DataLoaders in it, what they hold, and changes to them."""

import contextlib
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any, cast

from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler

from datamodule_conformance.digests import DEPTH, digest
from datamodule_conformance.generators import restore, seeded, states, to_put_back
from datamodule_conformance.probe import Given

TIMEOUT = 600.0
"""Seconds after which a loader's workers count as hanging."""
MOST_BATCHES = 200
MOST_SAMPLES = 100_000
"""Of one pass of a sampler: one that never ends is cut there."""


def each(loaders: Any) -> list[Any]:
    """The loaders in any nest, whatever they are."""
    if _is_combined(loaders):
        return list(loaders.flattened)
    if isinstance(loaders, Mapping):
        return [one for loader in loaders.values() for one in each(loader)]
    if isinstance(loaders, (list, tuple)):
        return [one for loader in loaders for one in each(loader)]
    return [] if loaders is None else [loaders]


def plain(loaders: Any) -> list[DataLoader[Any]]:
    """Those that are torch's DataLoaders."""
    return [loader for loader in each(loaders) if isinstance(loader, DataLoader)]


def all_plain(loaders: Any) -> bool:
    """Whether all are."""
    return len(plain(loaders)) == len(each(loaders))


def all_indexed(loaders: Any) -> bool:
    """Whether all are DataLoaders that ask a dataset for one sample after another."""
    return all_plain(loaders) and all(_is_indexed(loader) for loader in plain(loaders))


def bound(loaders: Any) -> None:
    """End each pass of a loader without a length after MOST_BATCHES: it may never end."""
    for loader in each(loaders):
        if _length(loader) is None:
            _replace_iter(loader, lambda made: _cut(made()))


def still(loaders: Any) -> None:
    """Making an iterator draws nothing, from the global generators, the loader's or the dataset's:
    Lightning makes one more where it reloads."""
    for loader in plain(loaders):
        _replace_iter(loader, functools.partial(_undrawn, loader))


def set_workers(loaders: Any, count: int) -> None:
    """Give each DataLoader `count` worker processes."""
    for loader in plain(loaders):
        loader.num_workers = count
        loader.prefetch_factor = 2 if count else None
        loader.timeout = (loader.timeout or TIMEOUT) if count else 0
        if not count:
            object.__setattr__(loader, "persistent_workers", False)  # refused after __init__


def note_samples(loaders: Any, side_by_side: bool) -> "deque[Given | None]":
    """What the loaders' datasets will give, batch by batch; empty where they can't tell.

    Loaders that are read side by side, as those of training are, give several batches to a step.
    """
    noted: deque[Given | None] = deque()
    several = _is_combined(loaders) or (side_by_side and len(each(loaders)) > 1)
    alone = not any(loader.num_workers for loader in plain(loaders))
    if alone and not several and all_indexed(loaders):
        for loader in plain(loaders):
            loader.collate_fn = _Noting(loader.collate_fn, noted)
    return noted


def steady(loaders: Any, seed: str, epoch: Callable[[], int]) -> None:
    """Nothing that the loaders draw from the global generators depends on where these are.

    The order becomes a function of the seed and the epoch, a sample one of the seed and its name.
    """
    for loader in filter(_is_indexed, plain(loaders)):
        sampler = _SteadySampler(loader.batch_sampler, lambda: f"{seed} epoch {epoch()}")
        # Both are refused after __init__.
        object.__setattr__(loader, "dataset", _steady_dataset(loader.dataset, seed))
        object.__setattr__(loader, "batch_sampler", sampler)
        loader.collate_fn = _SteadyCollate(loader.collate_fn, seed)


def datasets(loaders: Any) -> list[Any]:
    """Those behind the DataLoaders among them."""
    return [loader.dataset for loader in plain(loaders)]


def size(loaders: Any) -> int | None:
    """Samples behind the loaders, or None where they are not counted: a dataset has no length, or
    is cut anywhere, as a map is."""
    countable = plain(loaders) and all_indexed(loaders)
    if not countable or any(map(_cuts, plain(loaders))):
        return None
    return sum(map(_samples, plain(loaders)))


def order(loader: Any, most: int = MOST_SAMPLES) -> list[Any] | None:
    """The samples of one more epoch by the names that the loader's own sampler gives them."""
    if not isinstance(loader, DataLoader) or not _is_indexed(loader):
        return None
    batches: Any = loader.batch_sampler
    names = (name for batch in batches for name in batch)
    return list(itertools.islice(names, most))


def read(loader: Any, name: Any, state: str) -> str | None:
    """The digest of the loader's sample `name`, read while the generators start from `state`."""
    whole = getattr(loader.dataset, "__getitems__", None)
    with seeded(state):
        return digest(whole([name]) if whole else loader.dataset[name])


def all_samples(loaders: Any) -> list[str]:
    """The digests of the samples of one more pass, each read from the same state."""
    names = [(loader, name) for loader in plain(loaders) for name in order(loader) or ()]
    found = [read(loader, name, "a sample") for loader, name in names]
    return [one for one in found if one]


class _Noting:
    """A collate_fn that notes the samples it is given."""

    def __init__(self, collate: Callable[..., Any], noted: "deque[Given | None]") -> None:
        self.collate = collate
        self.noted = noted

    def __call__(self, samples: Any) -> Any:
        # __getitems__ may give a whole batch at once.
        found = [digest(sample) for sample in samples] if isinstance(samples, list) else [None]
        self.noted.append(tuple(one for one in found if one) if all(found) else None)
        return self.collate(samples)


class _SteadySampler:
    """Each pass is drawn from generators that start from one state in each epoch."""

    def __init__(self, sampler: Any, state: Callable[[], str]) -> None:
        self.batches = sampler
        self.state = state

    def __iter__(self) -> Iterator[Any]:
        with seeded(self.state()):
            batches = list(itertools.islice(self.batches, MOST_SAMPLES))
        yield from batches  # lazily, as samplers are: Lightning tells the epoch after iter()

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "batches":
            raise AttributeError(name)
        return getattr(self.batches, name)


class _SteadyCollate:
    """What a batch needs is drawn from generators that start anew."""

    def __init__(self, collate: Callable[..., Any], seed: str) -> None:
        self.collate = collate
        self.seed = seed

    def __call__(self, samples: Any) -> Any:
        with seeded(f"{self.seed} batch"):
            return self.collate(samples)


def _steady_dataset(dataset: Any, seed: str) -> Any:
    """The same, each sample drawn from generators that start from the seed and its name.

    Of a class derived from its own, which loaders may ask for. What has no attributes draws none.
    """
    kind: Any = type(dataset)

    def sample(self: Any, name: Any) -> Any:
        with seeded(f"{seed} sample {name}"):
            return kind.__getitem__(self, name)

    def batch(self: Any, names: list[Any]) -> Any:
        with seeded(f"{seed} samples {names}"):
            return kind.__getitems__(self, names)

    methods = {"__module__": kind.__module__, "__getitem__": sample}
    methods |= {"__getitems__": batch} if hasattr(kind, "__getitems__") else {}
    try:
        made: Any = object.__new__(type(kind.__name__, (kind,), methods))
        made.__dict__ = vars(dataset)
    except TypeError:
        return dataset
    return made


def _is_combined(loaders: Any) -> bool:
    """Whether this is a CombinedLoader, of whichever of Lightning's packages."""
    return hasattr(loaders, "flattened")


def _cut(iterator: Iterator[Any]) -> Iterator[Any]:
    """By next alone: an iterator that is its own loader would be asked for another."""
    with contextlib.suppress(StopIteration):
        for _ in range(MOST_BATCHES):
            yield next(iterator)


def _replace_iter(loader: Any, change: Callable[[Callable[[], Any]], Any]) -> None:
    kind = type(loader)
    names = {
        "__module__": kind.__module__,
        "__iter__": lambda self: change(functools.partial(kind.__iter__, self)),
    }
    loader.__class__ = type(kind.__name__, (kind,), names)


def _undrawn(loader: DataLoader[Any], made: Callable[[], Any]) -> Any:
    own = [loader.generator, *_held(loader.dataset)]
    before, put_back = states(), [to_put_back(one) for one in own]
    iterator = made()
    restore(before)
    for back in filter(None, put_back):
        back()
    return iterator


def _held(dataset: Any) -> Iterator[Any]:
    """The attributes of a dataset, and of those that it is made of, as a Subset is."""
    for _ in range(DEPTH):
        attributes = getattr(dataset, "__dict__", {})
        yield from attributes.values()
        dataset = attributes.get("dataset")


def _samples(loader: DataLoader[Any]) -> int:
    """Of those that are the loader's: a sampler may be the split."""
    split, dataset = loader.sampler, cast(Sized, loader.dataset)
    return len(split.indices if isinstance(split, SubsetRandomSampler) else dataset)


def _cuts(loader: DataLoader[Any]) -> bool:
    """Whether its sampler names pieces of something: slices, or corners of boxes."""
    names: list[Any] = []
    with contextlib.suppress(Exception):  # teardown may have closed it
        names = order(loader, most=1) or []
    parts = [part for name in names for part in (name if isinstance(name, tuple) else (name,))]
    return any(isinstance(part, (slice, float)) for part in parts)


def _is_indexed(loader: DataLoader[Any]) -> bool:
    return loader.batch_sampler is not None and not isinstance(loader.dataset, IterableDataset)


def _length(loader: Any) -> int | None:
    try:
        return len(loader)
    except Exception:
        return None

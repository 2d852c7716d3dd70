"""The kinds of problems of a dataset: how bad each is, and what to do about it."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from benchmark.data.folder import Problem

MAX_PATHS = 10
"""Largest number of paths of one kind that a terminal shows; JSON has all."""


class ProblemKind(NamedTuple):
    """A kind of problem."""

    severity: Literal["error", "warning"]
    """An error stops the dataset stage, a warning does not."""
    remedy: str
    """What the user can do about the problem."""


def _error(remedy: str) -> ProblemKind:
    return ProblemKind("error", remedy)


def _warning(remedy: str) -> ProblemKind:
    return ProblemKind("warning", remedy)


KINDS = {
    "missing folder": _error("A dataset needs train, val and test, each with every class."),
    "not a folder": _error("A split contains one folder per class: move or remove it."),
    "empty class": _error("Add images, or remove the class from every split."),
    "too few classes": _error("At least two classes are needed."),
    "names that look alike": _error("They differ in case or in Unicode form: rename one."),
    "name that is not text": _error("Rename it, in UTF-8 and without control characters."),
    "broken link": _error("Replace the link by the file, or remove it."),
    "link that leaves the dataset": _error("Replace the link by what it names."),
    "not a regular file": _error("Remove it: it is a folder, a pipe, a socket or a device."),
    "not readable": _error("Give yourself permission to read it."),
    "unknown suffix": _error("Convert it to JPEG, PNG, WebP or BMP, or remove it."),
    "empty file": _error("Replace or remove it."),
    "not an image": _error("It is not JPEG, PNG, WebP or BMP: replace or remove it."),
    "damaged image": _error("Replace or remove it."),
    "decompression bomb": _error("It has far too many pixels: make it smaller."),
    "same picture in train and another split": _error(
        "A test on training images proves nothing: remove it from one."
    ),
    "same picture under two labels": _error("One label is wrong: remove that one."),
    "same picture in val and test": _warning("Remove it from one."),
    "same picture twice": _warning("It counts twice: remove one."),
    "suffix of another format": _warning("It is read; rename it to be sure."),
    "animated image": _warning("Its first frame is used."),
    "image smaller than the crop": _warning("It is enlarged to data.image_size."),
    "uneven classes": _warning("Look at the mean over classes, not only at the accuracy."),
    "hidden or system file": _warning("It is ignored."),
}
"""Kinds by name, in the order in which they are printed."""


def is_error(problem: Problem) -> bool:
    """Return whether `problem` stops the dataset stage."""
    return KINDS[problem.kind].severity == "error"


def count_by_kind(problems: Sequence[Problem]) -> str:
    """Return the number of problems of each kind, as "empty file (1), damaged image (3)"."""
    counts = {kind: sum(p.kind == kind for p in problems) for kind in KINDS}
    return ", ".join(f"{kind} ({number:,})" for kind, number in counts.items() if number)


def report_lines(problems: Sequence[Problem]) -> Iterator[str]:
    """Yield lines for a terminal: each kind with its remedy, then its first MAX_PATHS paths."""
    for name, kind in KINDS.items():
        matching = [problem for problem in problems if problem.kind == name]
        if matching:
            yield f"{kind.severity}: {name} ({len(matching):,}). {kind.remedy}"
        for problem in matching[:MAX_PATHS]:
            yield f"    {problem.path}" + (f": {problem.detail}" if problem.detail else "")
        if len(matching) > MAX_PATHS:
            yield f"    and {len(matching) - MAX_PATHS:,} more"

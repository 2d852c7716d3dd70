"""The kinds of problems of a dataset: how bad each is, and what to do about it."""

from collections.abc import Iterator, Sequence

from benchmark.data.folder import Problem
from benchmark.data.formats import FORMAT_NAMES

MAX_PATHS = 10
"""Largest number of paths of one kind that a terminal shows; JSON has all."""


ERRORS = {
    "missing folder": "A dataset needs train, val and test, each with every class.",
    "not a folder": "A split contains one folder per class: move it into one, or elsewhere.",
    "empty class": "Add images, or remove the class from every split.",
    "too few classes": "At least two classes are needed.",
    "names that look alike": "They differ in case or in Unicode form: rename one.",
    "name that is not text": "Rename it, in UTF-8 and without control characters.",
    "broken link": "Replace the link by the file, or remove it.",
    "symbolic link": "DVC leaves linked folders out: replace the link by what it names.",
    "folder within a class": (
        "Its images belong to no class: move them up into the class, or make the folder a class."
    ),
    "not in the pin": "DVC leaves it out: .dvcignore matches it, or it is behind a link.",
    "not what is pinned": "DVC did not see the change: touch the file, then dvc add.",
    "not a regular file": "Remove it: it is a pipe, a socket or a device.",
    "not readable": "Give yourself permission to read it, or look at the disk.",
    "unknown suffix": f"Convert it to {FORMAT_NAMES}, or move it out of the dataset.",
    "empty file": "Replace or remove it.",
    "not an image": f"It is not {FORMAT_NAMES}: convert or replace it.",
    "damaged image": "Replace or remove it.",
    "values that are not finite": "Replace them by numbers, as numpy.nan_to_num does.",
    "decompression bomb": "It has far too many pixels: make it smaller.",
    "same picture in train and another split": (
        "A test on training images proves nothing: remove it from one."
    ),
    "same picture under two labels": (
        "Look at both: at most one label is right, or the picture shows nothing."
    ),
}
"""Remedies of the problems that stop the dataset stage, by kind."""
WARNINGS = {
    "same picture in val and test": "Remove it from one.",
    "same picture twice": "It counts twice: remove one.",
    "few grey levels": (
        "Detail is lost on the way to 8 bits, since all images share one scale. Remove outliers "
        "such as hot pixels, or stretch the values of all images by one factor."
    ),
    "suffix of another format": "It is read; rename it to be sure.",
    "animated image": "Its first frame is used.",
    "image smaller than the crop": "It is enlarged to data.image_size.",
    "uneven classes": "Look at the mean over classes, not only at the accuracy.",
    "names that differ in spaces": "They are two classes: rename one if they should be one.",
    "hidden or system file": "It is ignored.",
}
"""Remedies of the problems that do not stop the dataset stage."""
KINDS = ERRORS | WARNINGS
"""Remedies of all kinds of problems, in the order in which the kinds are printed."""


def is_error(problem: Problem) -> bool:
    """Return whether `problem` stops the dataset stage."""
    return problem.kind in ERRORS


def count_by_kind(problems: Sequence[Problem]) -> str:
    """Return the number of problems of each kind, as "empty file (1), damaged image (3)"."""
    counts = {kind: sum(p.kind == kind for p in problems) for kind in KINDS}
    return ", ".join(f"{kind} ({number:,})" for kind, number in counts.items() if number)


def report_lines(problems: Sequence[Problem]) -> Iterator[str]:
    """Yield lines for a terminal: each kind with its remedy, then its first MAX_PATHS paths."""
    for kind, remedy in KINDS.items():
        matching = [problem for problem in problems if problem.kind == kind]
        if matching:
            severity = "error" if kind in ERRORS else "warning"
            yield f"{severity}: {kind} ({len(matching):,}). {remedy}"
        for problem in matching[:MAX_PATHS]:
            yield f"    {problem.path}" + (f": {problem.detail}" if problem.detail else "")
        if len(matching) > MAX_PATHS:
            yield f"    and {len(matching) - MAX_PATHS:,} more"

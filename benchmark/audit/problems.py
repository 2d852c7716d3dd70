"""What can be wrong with a dataset, how bad it is, and what to do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]
SHOWN = 10
"""Paths of one kind that a terminal shows; JSON has all."""


class Kind(NamedTuple):
    """A kind of problem."""

    severity: Severity
    """Errors stop, warnings do not."""
    remedy: str
    """What to do."""


KINDS = {
    "missing folder": Kind("error", "A dataset needs train, val and test, each with every class."),
    "no folder": Kind("error", "A split holds folders, one for each class: move or remove it."),
    "empty class": Kind("error", "Add images, or remove the class from every split."),
    "too few classes": Kind("error", "Two at least are to be told apart."),
    "names that look alike": Kind("error", "They differ in case or in Unicode form: rename one."),
    "name that is no text": Kind("error", "Rename it, in UTF-8 and without control characters."),
    "broken link": Kind("error", "Put the file in the place of the link, or remove it."),
    "link that leaves the dataset": Kind("error", "Put what it names in the place of the link."),
    "no regular file": Kind("error", "Remove it: it is a pipe, a socket or a device."),
    "not readable": Kind("error", "Give yourself the right to read it."),
    "unknown suffix": Kind("error", "Convert it to JPEG, PNG, WebP or BMP, or remove it."),
    "empty file": Kind("error", "Replace or remove it."),
    "no image": Kind("error", "It is no JPEG, PNG, WebP or BMP: replace or remove it."),
    "damaged image": Kind("error", "Replace or remove it."),
    "decompression bomb": Kind("error", "It has far too many pixels: make it smaller."),
    "same picture in train and another split": Kind(
        "error", "A test on what was learned says nothing: remove it from one."
    ),
    "same picture under two labels": Kind("error", "One label is wrong: remove that one."),
    "same picture in val and test": Kind("warning", "Remove it from one."),
    "same picture twice": Kind("warning", "It counts twice: remove one."),
    "suffix of another format": Kind("warning", "It is read; rename it to be sure."),
    "animated image": Kind("warning", "Its first frame is used."),
    "image smaller than the crop": Kind("warning", "It is enlarged to data.image_size."),
    "uneven classes": Kind("warning", "Look at the mean over classes, not at the accuracy alone."),
    "hidden or system file": Kind("warning", "It is ignored."),
}
"""By name, in the order in which they are told."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    kind: str
    """Of KINDS."""
    path: str
    """Relative to the dataset."""
    detail: str = ""
    """What else is known: another path, or the decoder's words."""

    @property
    def is_error(self) -> bool:
        """Whether it stops."""
        return KINDS[self.kind].severity == "error"


def count(problems: Sequence[Problem]) -> str:
    """ "damaged image (3), empty file (1)", in the order of KINDS."""
    counts = {kind: sum(p.kind == kind for p in problems) for kind in KINDS}
    return ", ".join(f"{kind} ({number:,})" for kind, number in counts.items() if number)


def lines(problems: Sequence[Problem]) -> Iterator[str]:
    """For a terminal: each kind with its remedy, and its paths below it."""
    for name, kind in KINDS.items():
        found = [problem for problem in problems if problem.kind == name]
        if found:
            yield f"{kind.severity}: {name} ({len(found):,}). {kind.remedy}"
            yield from (_line(problem) for problem in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"    and {len(found) - SHOWN:,} more"


def _line(problem: Problem) -> str:
    detail = f": {problem.detail}" if problem.detail else ""
    return f"    {problem.path}{detail}"

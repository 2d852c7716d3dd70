"""`python -m benchmark compare A B`: what changed beyond the noise, for a person or a CI job.

A and B are each a git revision, a directory with a reports/ in it (such as "."), a file or a
folder of exported results, or the id of a machine in reports/machines.
"""

import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from benchmark.common import git
from benchmark.common.errors import UserError
from benchmark.common.statistics import detectable
from benchmark.report import record
from benchmark.report.parity import SIGNIFICANCE, TEST, input_differences, mcnemar
from benchmark.report.record import MACHINES
from benchmark.report.schema import Absent, Record

OK, REGRESSION, INCOMPARABLE = 0, 1, 2
DUEL = "(To time two revisions on this machine, in turns: python -m benchmark duel BEFORE AFTER.)"
GATED = ("trainer", "accuracy")
"""What can fail the gate; the rates of other modes tell where a change comes from."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    records: Mapping[str, Record]
    """By accelerator, those of absent ones left out."""
    exported: bool
    """Whether it was named as a machine's results, which may be another machine's."""


@dataclass(frozen=True)
class Change:
    """What became of one figure of one accelerator."""

    accelerator: str
    what: str
    ratio: float
    """After over before."""
    detected: bool
    words: str

    def __str__(self) -> str:
        return f"{self.accelerator} {self.what}: {self.words}"

    def regressed(self, limit: float) -> bool:
        """Whether it is detectably worse, and by a larger part than `limit`."""
        return self.what in GATED and self.detected and 1 - self.ratio > limit


def run(before: str, after: str, limit: float) -> int:
    """Print the comparison; returns OK, REGRESSION (a part larger than `limit` was lost), or
    INCOMPARABLE (something measured before has nothing to be compared with).

    Raises:
        UserError: a side cannot be read.
    """
    one, other = read(before), read(after)
    changes, refusals = _compare_all(one, other)
    lost = [change for change in changes if change.regressed(limit)]
    for line in (*refusals, *map(str, changes)):
        print(line)
    if refusals and not (one.exported or other.exported):
        print(DUEL)
    for change in lost:
        print(f"regression: {change.accelerator} {change.what} lost more than {limit:.0%}")
    return REGRESSION if lost else INCOMPARABLE if refusals else OK


def _compare_all(one: Side, other: Side) -> tuple[list[Change], list[str]]:
    """What changed, and what cannot be compared."""
    changes: list[Change] = []
    refusals = [] if one.records else ["nothing was measured in the first"]
    for name, old in one.records.items():
        new = other.records.get(name)
        why = refusal(old, new, other_machine=one.exported or other.exported)
        if new is None or why:
            refusals.append(f"{name}: not compared: {why}")
        else:
            refusals += [f"{name}: rates not compared: {doubt}" for doubt in doubts(old, new)]
            changes += compare(old, new)
    return changes, refusals


def read(source: str) -> Side:
    """What a side holds.

    Raises:
        UserError: `source` is nothing that holds results.
    """
    path = Path(source)
    exported = True
    if path.is_file():
        found: list[Record | Absent] = [record.load(path)]
    elif (path / "reports").is_dir():
        found, exported = list(_tree(path)), False
    elif (MACHINES / source).is_dir():
        found = _folder(MACHINES / source)
    elif path.is_dir():
        found = _folder(path)
    else:
        found, exported = _revision(source), False
    records = {each.name: each for each in found if isinstance(each, Record)}
    return Side(records, exported)


def refusal(before: Record, after: Record | None, other_machine: bool) -> str | None:
    """Why two records are no pair: of two commits, so that their code may differ.

    Args:
        before: of the first side.
        after: of the second, if it is there.
        other_machine: whether they may be of two machines.
    """
    if after is None:
        return "not measured in the second"
    if before.machine != after.machine and not other_machine:
        return (
            f"other machine ({_where(before)}, then {_where(after)}): a change of the code shows "
            "on one machine only; to compare machines, name their exported results"
        )
    one, other = (
        {
            **each.throughput.workload.model_dump(),
            "dataset": (each.throughput.dataset, each.training.result.inputs.dataset),
        }
        for each in (before, after)
    )
    names = sorted(n for n in {*one, *other} - {"code"} if one.get(n) != other.get(n))
    return f"other {', '.join(names)}" if names else None


def doubts(before: Record, after: Record) -> list[str]:
    """Why no rate of the two says anything."""
    verdicts = {"first": before.throughput.verdict, "second": after.throughput.verdict}
    return [f"the {side} is {found}" for side, found in verdicts.items() if not found.stable]


def compare(before: Record, after: Record) -> list[Change]:
    """What became of the rate of each mode that both measured, if there is no doubt of it, and of
    the test accuracy."""
    modes = [m for m in before.throughput.modes if m in after.throughput.modes]
    rates = [] if doubts(before, after) else [_rate(before, after, mode) for mode in modes]
    return [*rates, _accuracy(before, after)]


def _rate(before: Record, after: Record, mode: str) -> Change:
    one, other = (r.throughput.modes[mode].images_per_second for r in (before, after))
    floors = [r.throughput.noise_floor for r in (before, after)]
    ratio = other.over(one)
    detected = detectable(ratio, floors)
    change = f"{ratio.estimate - 1:+.1%} ({ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"
    words = f"{one.estimate:.1f} to {other.estimate:.1f} images/s, {change}"
    if not detected:
        noise = max(floor.largest_deviation for floor in floors) - 1
        words = f"no difference detectable: {words}, noise floor {noise:.1%}"
    return Change(before.label, mode, ratio.estimate, detected, words)


def _accuracy(before: Record, after: Record) -> Change:
    answers = [r.training.correct for r in (before, after)]
    one, other = (answer.count("1") / len(answer) for answer in answers)
    p = mcnemar(*answers)
    words = f"{one:.1%} to {other:.1%} ({TEST}, p = {p:.2g})"
    if others := input_differences(before.training, after.training):
        words += f", trained with other {' and '.join(others)}"
    detected = p < SIGNIFICANCE
    if not detected:
        words = f"no difference detectable: {words}"
    return Change(before.label, "accuracy", other / one if one else 1.0, detected, words)


def _where(found: Record) -> str:
    return f"{found.training.result.device} of {found.machine}"


def _folder(path: Path) -> list[Record | Absent]:
    files = sorted(path.glob("*.json"))
    if not files:
        raise UserError(f"{path} holds no exported results.", "Name one of reports/machines.")
    return [record.load(file) for file in files]


def _tree(root: Path) -> Iterator[Record | Absent]:
    """What the stages wrote below `root`."""
    with chdir(root):
        for path in sorted(Path("reports/throughput").glob("*.json")):
            yield record.read(path.stem)


def _revision(name: str) -> list[Record | Absent]:
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(_archive(name))) as archive:
            archive.extractall(folder, filter="data")
        try:
            return list(_tree(Path(folder)))
        except UserError as error:
            raise UserError(
                f"This version of the suite cannot read the reports of {name!r}: {error.what}",
                "Measure that revision anew, or name another.",
            ) from None


def _archive(name: str) -> bytes:
    """The reports of a revision, as git packs them.

    Raises:
        UserError: with git's own reason.
    """
    try:
        done = git.run("archive", name, "reports")
    except FileNotFoundError:
        raise _not_found(name, "git is not installed", "Name one of the former.") from None
    if not done.returncode:
        return done.stdout
    remedy = "Name one of these."
    if git.run("rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
        remedy = "This clone is shallow. For its older revisions: git fetch --unshallow."
    raise _not_found(name, " ".join(done.stderr.decode(errors="replace").split()), remedy)


def _not_found(name: str, reason: str, remedy: str) -> UserError:
    return UserError(
        f"{name!r} is no file, no folder, no machine of reports/machines and no git revision with "
        f"reports ({reason}).",
        remedy,
    )

"""`python -m benchmark compare A B`: what changed beyond the noise, for a person or a CI job.

A and B are each a git revision, a directory with a reports/ in it (such as "."), a file or a
folder of exported results, or the id of a machine in reports/machines.

Two rates are of two measuring sessions, which differ without any change of the code: a rate fails
the gate where it falls by more than sessions do. Smaller changes are for the duel.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from benchmark.common import git, numbers
from benchmark.common.files import write_text
from benchmark.common.formatting import literal, plain, table
from benchmark.common.parameters import load_parameters
from benchmark.common.results import ResultPaths, Unavailable
from benchmark.common.statistics import mean_interval
from benchmark.common.temporary import temporary_directory
from benchmark.errors.user_error import UserError, visible
from benchmark.report import record
from benchmark.report.parity import difference, input_differences, tested
from benchmark.report.record import MACHINES
from benchmark.report.schema import Absent, Record, TrainingRecord
from benchmark.report.sessions import ASSUMED, Spread, spread

OK, REGRESSION, INCOMPARABLE = 0, 1, 2
DUEL = "To time two revisions here, in turns: .venv/bin/python -m benchmark duel BEFORE AFTER"
GATED = ("trainer", "accuracy")
"""What can fail the gate; the rates of other modes tell where a change comes from."""


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    records: Mapping[str, Record]
    """By accelerator, those of absent ones left out."""
    exported: bool
    """Whether it was named as a machine's results, which may be another machine's."""
    trainings: Mapping[str, TrainingRecord] = field(default_factory=dict)
    """By accelerator, where this version of the suite can read no more than them."""
    unread: str = ""
    """Why it cannot read the rest."""


@dataclass(frozen=True)
class Change:
    """What became of one figure of one accelerator."""

    accelerator: str
    what: str
    before: str
    after: str
    ratio: float
    """After over before."""
    change: str
    """In words, with its interval."""
    detected: bool
    known: str
    """What the interval rests on."""

    @property
    def verdict(self) -> str:
        """What is to be read first."""
        if not self.detected:
            return "no difference detected"
        return "higher" if self.ratio > 1 else "lower"

    def __str__(self) -> str:
        said = f"{self.before} to {self.after}, {self.change}; {self.known}"
        return f"{self.accelerator} {self.what}: {self.verdict}: {said}"

    def regressed(self, limit: float) -> bool:
        """Whether it is detectably worse, and by a larger part than `limit`."""
        return self.what in GATED and self.detected and 1 - self.ratio > limit


@dataclass(frozen=True)
class Gate:
    """What changed between two sides, and whether it may pass."""

    names: tuple[str, str]
    changes: Sequence[Change]
    refusals: Sequence[str]
    """Of what cannot be compared, and what would help."""
    limit: float

    @property
    def regressions(self) -> list[str]:
        """What was lost beyond the limit, in words."""
        lost = [change for change in self.changes if change.regressed(self.limit)]
        return [f"{c.accelerator} {c.what} lost more than {self.limit:.0%}" for c in lost]

    @property
    def status(self) -> int:
        """OK, REGRESSION (a part larger than the limit was lost), or INCOMPARABLE (something
        measured before has nothing to be compared with)."""
        return REGRESSION if self.regressions else INCOMPARABLE if self.refusals else OK

    def __str__(self) -> str:
        lost = (f"regression: {each}" for each in self.regressions)
        return "\n".join(map(visible, [*self.refusals, *map(str, self.changes), *lost]))

    def markdown(self) -> str:
        """For a pull request or a job's summary."""
        title = f"# {plain(literal(f'{self.names[1]} compared with {self.names[0]}'))}"
        header = ("Accelerator", "What", "Before", "After", "Change", "Verdict")
        rows = [
            (
                literal(c.accelerator),
                literal(c.what),
                c.before,
                c.after,
                f"{c.change}; {c.known}",
                c.verdict,
            )
            for c in self.changes
        ]
        lost = [f"**Regression: {plain(literal(each))}.**" for each in self.regressions]
        said = [f"- {plain(literal(each))}" for each in self.refusals]
        parts = [title, *lost, "\n".join(said), table(header, rows) if rows else ""]
        return "\n\n".join(part for part in parts if part) + "\n"


def run(before: str, after: str, limit: float, markdown: Path | None = None) -> int:
    """Print the comparison and write it to `markdown`; returns the gate's status.

    Raises:
        UserError: a side cannot be read.
    """
    one, other = read(before), read(after)
    changes, refusals = _compare_all(one, other)
    if refusals and not (one.exported or other.exported):
        refusals.append(DUEL)
    gate = Gate((before, after), changes, refusals, limit)
    print(gate)
    if markdown:
        write_text(markdown, gate.markdown())
    return gate.status


def _compare_all(one: Side, other: Side) -> tuple[list[Change], list[str]]:
    """What changed, and what cannot be compared."""
    unread = one.unread or other.unread
    if unread:
        return _compare_trainings(_trainings(one), _trainings(other)), [unread]
    changes: list[Change] = []
    refusals = [] if one.records else ["nothing was measured in the first"]
    for name, old in one.records.items():
        new = other.records.get(name)
        why = refusal(old, new, other_machine=one.exported or other.exported)
        if new is None or why:
            refusals.append(f"{name}: not compared: {why}")
        else:
            changes += compare(old, new)
        if new and why and _same_images(old, new):
            changes += _accuracies(old, new)
    return changes, refusals


def _trainings(side: Side) -> Mapping[str, TrainingRecord]:
    return {name: each.training for name, each in side.records.items()} | {**side.trainings}


def _compare_trainings(
    one: Mapping[str, TrainingRecord], other: Mapping[str, TrainingRecord]
) -> list[Change]:
    """Of the accuracies what was tested on the same images."""
    pairs = [(old, other[name]) for name, old in one.items() if name in other]
    alike = [(a, b) for a, b in pairs if tested(a) == tested(b)]
    return [_accuracy(*pair) for pair in alike]


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
        return _revision(source)
    return Side(_present(found), exported)


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
            "dataset": (each.throughput.dataset, tested(each.training)),
        }
        for each in (before, after)
    )
    names = sorted(n for n in {*one, *other} - {"code"} if one.get(n) != other.get(n))
    return f"other {', '.join(names)}" if names else None


def compare(before: Record, after: Record) -> list[Change]:
    """What became of the rate of each mode that both measured, and of the test accuracy."""
    modes = [m for m in before.throughput.modes if m in after.throughput.modes]
    rates = [_rate(before, after, mode) for mode in modes]
    return [*rates, *_accuracies(before, after)]


def _rate(before: Record, after: Record, mode: str) -> Change:
    """An unstable rate is no reason to look away: that would prefer lucky measurements."""
    one, other = (r.throughput.modes[mode].images_per_second for r in (before, after))
    scatter, known = _spread(before, after, mode)
    ratio = scatter.widen(other.over(one))
    verdicts = {"first": before.throughput.verdict, "second": after.throughput.verdict}
    known += "".join(f"; the {s} is unstable" for s, each in verdicts.items() if not each.stable)
    return Change(
        accelerator=before.label,
        what=mode,
        before=f"{numbers.estimate(one)} images/s",
        after=f"{numbers.estimate(other)} images/s",
        ratio=ratio.estimate,
        change=f"{ratio.estimate - 1:+.1%} ({ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})",
        detected=1 not in ratio,
        known=known,
    )


def _spread(before: Record, after: Record, mode: str) -> tuple[Spread, str]:
    """How a rate scatters between sessions, and how that is known: from whichever of the two
    machines' exports tells of more scatter."""
    histories = {each.machine: each.sessions for each in (before, after)}
    longest = {
        machine: max((e.sessions for e in (before, after) if e.machine == machine), key=len)
        for machine in histories
    }
    found = [(spread(sessions, mode), len(sessions)) for sessions in longest.values()]
    known = [(each, count) for each, count in found if each]
    if len(known) < len(found):
        return ASSUMED, f"sessions are assumed to scatter by {ASSUMED.deviation:.0%}"
    scatter, count = max(known, key=lambda each: each[0].deviation)
    return scatter, f"{count} sessions scatter by {scatter.deviation:.1%}"


def _accuracy(before: TrainingRecord, after: TrainingRecord) -> Change:
    one, other = (each.correct.count("1") / len(each.correct) for each in (before, after))
    found = difference(before.correct, after.correct)
    others = input_differences(before, after)
    return Change(
        accelerator=before.result.accelerator,
        what="accuracy",
        before=f"{one:.1%}",
        after=f"{other:.1%}",
        ratio=other / one if one else 1.0,
        change=found.change,
        detected=found.found,
        known=found.test + (f", trained with other {' and '.join(others)}" if others else ""),
    )


def _same_images(before: Record, after: Record) -> bool:
    """Whether one machine used the same images for both: with other parameters, their accuracies
    are worth a comparison though their rates are of other work."""
    images = [(r.machine, r.throughput.dataset, tested(r.training)) for r in (before, after)]
    return images[0] == images[1]


def _accuracies(before: Record, after: Record) -> list[Change]:
    """Of the run's own seed, and over all seeds with which both trained."""
    own = before.training, after.training
    further = [(before.seeds[s], after.seeds[s]) for s in before.seeds if s in after.seeds]
    return [_accuracy(*own), *([_over_seeds([own, *further])] if further else [])]


def _over_seeds(pairs: Sequence[tuple[TrainingRecord, TrainingRecord]]) -> Change:
    """Two trainings that differ in a parameter part by chance too: seeds show by how much."""
    shares = [(before.result.test.accuracy, after.result.test.accuracy) for before, after in pairs]
    one, other = map(fmean, zip(*shares, strict=True))
    found = mean_interval([100 * (after - before) for before, after in shares])
    return Change(
        accelerator=pairs[0][0].result.accelerator,
        what="accuracy over seeds",
        before=f"{one:.1%}",
        after=f"{other:.1%}",
        ratio=other / one if one else 1.0,
        change=f"{found.estimate:+.1f} points ({found.low:+.1f} to {found.high:+.1f})",
        detected=0 not in found,
        known=f"{len(pairs)} seeds, each compared with itself",
    )


def _where(found: Record) -> str:
    return f"{found.training.result.device} of {found.machine}"


def _folder(path: Path) -> list[Record | Absent]:
    files = sorted(path.glob("*.json"))
    if not files:
        machines = ", ".join(sorted({each.parent.name for each in path.glob("*/*.json")}))
        remedy = (
            f"Name one of its machines: {machines}." if machines else f"Name one of {MACHINES}."
        )
        raise UserError(f"{path} holds no exported results.", remedy)
    return [record.load(file) for file in files]


def _present(found: Iterable[Record | Absent]) -> dict[str, Record]:
    return {each.name: each for each in found if isinstance(each, Record)}


def _tree(root: Path) -> Iterator[Record | Absent]:
    """What the stages wrote below `root`."""
    with chdir(root):
        for path in sorted(Path("reports/throughput").glob("*.json")):
            found = record.read(path.stem, _seeds())
            yield record.with_sessions(found) if isinstance(found, Record) else found


def _seeds() -> Sequence[int]:
    """The further ones of a tree; none where its params.yaml is another version's."""
    with suppress(UserError):
        return load_parameters().seeds
    return ()


def _revision(name: str) -> Side:
    """What a revision's reports hold; of another version of the suite, what can be read."""
    with temporary_directory() as folder:
        _unpack(name, folder)
        try:
            return Side(_present(_tree(folder)), exported=False)
        except UserError as error:
            why = f"this version of the suite cannot read the rates of {name!r}: {error.what}"
            return Side({}, False, _readable_trainings(folder), why)


def _readable_trainings(root: Path) -> dict[str, TrainingRecord]:
    found = {}
    with chdir(root):
        for path in sorted(Path("reports/train").glob("*")):
            with suppress(UserError):
                training = record.read_training(ResultPaths(path.name).own)
                if not isinstance(training, Unavailable):
                    found[path.name] = training
    return found


def _unpack(name: str, folder: Path) -> None:
    """The reports of a revision.

    Raises:
        UserError: with git's own reason.
    """
    try:
        git.unpack(name, ["reports"], folder)
    except FileNotFoundError:
        raise _not_found(name, "git is not installed", "Name one of the former.") from None
    except ValueError as error:
        remedy = "Name one of these."
        if git.run("rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
            remedy = "This clone is shallow. For its older revisions: git fetch --unshallow."
        raise _not_found(name, str(error), remedy) from None
    with suppress(ValueError):  # it has none: then its further seeds are not known
        git.unpack(name, ["params.yaml"], folder)


def _not_found(name: str, reason: str, remedy: str) -> UserError:
    return UserError(
        f"{name!r} is no file, no folder, no machine of reports/machines and no git revision with "
        f"reports ({reason}).",
        remedy,
    )

"""The two sides of a comparison: a git revision, a folder, an exported file or a machine's id."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmark.common import git
from benchmark.common.parameters import PARAMETERS_FILE, load_parameters
from benchmark.common.temporary import temporary_directory
from benchmark.errors.user_error import UserError
from benchmark.report import record
from benchmark.report.record import MACHINES
from benchmark.report.schema import Record

WORKING_TREE = "."


@dataclass(frozen=True)
class ComparedResults:
    """The recorded results of one side."""

    records: Mapping[str, Record]
    """Records by their keys (accelerator and network), without those of absent accelerators."""
    exported: bool
    """Whether the records come from exported files, maybe of another machine."""


def read_results(source: str) -> ComparedResults:
    """Read the results of one side.

    `source` is an exported file, a folder that contains reports/, the id of a machine in
    reports/machines, a folder of exported files, or a git revision. The first kind that exists
    counts.

    Raises:
        UserError: `source` has no results, or this version of the suite cannot read them.
    """
    path = Path(source)
    if path.is_file():
        return _exported([path])
    if (path / "reports").is_dir():
        return ComparedResults(_stage_results(path), exported=False)
    for folder in (MACHINES / source, path):
        if folder.is_dir():
            files = sorted(folder.glob("*.json"))
            if not files:
                raise _without_exported(folder)
            return _exported(files)
    with temporary_directory() as folder:
        kinds = "a file, a folder, a machine of reports/machines or a git revision with reports"
        _unpack(source, ["reports"], folder, kinds)
        with suppress(ValueError):  # without params.yaml only the main trainings are read
            git.unpack(source, [str(PARAMETERS_FILE)], folder)
        try:
            return ComparedResults(_stage_results(folder), exported=False)
        except UserError as error:
            raise UserError(
                f"This version of the suite cannot read the results of {source!r} ({error.what}).",
                f"Time both revisions: .venv/bin/python -m benchmark duel {source}",
            ) from None


@contextmanager
def revision_code(name: str) -> Iterator[Path]:
    """Yield a folder with the `benchmark` package and params.yaml of a revision.

    `name` is a git revision, or "." for the working tree. The repository is not changed.

    Raises:
        UserError: git does not have the revision.
    """
    if name == WORKING_TREE:
        yield Path.cwd()
        return
    with temporary_directory() as folder:
        _unpack(name, ["benchmark", str(PARAMETERS_FILE)], folder, "a git revision of this suite")
        yield folder


def _exported(files: Iterable[Path]) -> ComparedResults:
    """Read exported files, one for each accelerator and network."""
    records = [record.load(file) for file in files]
    return ComparedResults({exported.key: exported for exported in records}, exported=True)


def _without_exported(folder: Path) -> UserError:
    """Return the error about a folder without exported files; it names the machines below."""
    machines = ", ".join(sorted({file.parent.name for file in folder.glob("*/*.json")}))
    remedy = f"Name one of its machines: {machines}." if machines else f"Name one of {MACHINES}."
    return UserError(f"{folder} does not contain exported results.", remedy)


def _stage_results(root: Path) -> dict[str, Record]:
    """Read what the stages wrote below `root`, by their keys."""
    seeds: Sequence[int] = ()
    with chdir(root):
        with suppress(UserError):  # this version of the suite may not be able to read the file
            seeds = load_parameters().seeds
        names = [path.stem for path in sorted(Path("reports/throughput").glob("*.json"))]
        records = [record.read(name, seeds) for name in names]
        return {r.key: record.add_exported_sessions(r) for r in records if isinstance(r, Record)}


def _unpack(name: str, paths: Sequence[str], folder: Path, kinds: str) -> None:
    """Write the files of git revision `name` at `paths` into `folder`.

    `kinds` are the sources that the user could have named, for the error message.

    Raises:
        UserError: git cannot provide them; contains git's reason.
    """
    try:
        git.unpack(name, paths, folder)
        return
    except FileNotFoundError:
        reason, remedy = "git is not installed", "Install git, or name something else."
    except ValueError as error:
        reason, remedy = str(error), "Name one."
        if git.run("rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
            remedy = "This clone is shallow. For its older revisions: git fetch --unshallow."
    raise UserError(f"{name!r} is not {kinds} ({reason}).", remedy)

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
    """Records by accelerator, without those of absent accelerators."""
    exported: bool
    """Whether the records come from exported files, maybe of another machine."""


def read_results(source: str) -> ComparedResults:
    """Read the results of one side.

    Args:
        source: exported file, folder that contains reports/, id of a machine in reports/machines,
            folder of exported files, or git revision; the first kind that exists counts.

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
            return _exported(_exported_files(folder))
    with temporary_directory() as folder:
        kinds = "a file, a folder, a machine of reports/machines or a git revision with reports"
        _unpack(source, ["reports"], folder, kinds)
        with suppress(ValueError):  # without params.yaml only the main trainings are read
            git.unpack(source, [str(PARAMETERS_FILE)], folder)
        return ComparedResults(_revision_results(source, folder), exported=False)


@contextmanager
def revision_code(name: str) -> Iterator[Path]:
    """Yield a folder with the `benchmark` package and params.yaml of a revision.

    Args:
        name: git revision, or "." for the working tree. The repository is not changed.

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
    """Read exported files, one for each accelerator."""
    records = [record.load(file) for file in files]
    return ComparedResults({exported.name: exported for exported in records}, exported=True)


def _exported_files(folder: Path) -> list[Path]:
    """List the exported files in `folder`; raise a UserError if it contains none."""
    files = sorted(folder.glob("*.json"))
    if not files:
        machines = ", ".join(sorted({file.parent.name for file in folder.glob("*/*.json")}))
        remedy = (
            f"Name one of its machines: {machines}." if machines else f"Name one of {MACHINES}."
        )
        raise UserError(f"{folder} does not contain exported results.", remedy)
    return files


def _stage_results(root: Path) -> dict[str, Record]:
    """Read what the stages wrote below `root`, by accelerator."""
    with chdir(root):
        names = [path.stem for path in sorted(Path("reports/throughput").glob("*.json"))]
        records = [record.read(name, _seeds()) for name in names]
        return {r.name: record.add_exported_sessions(r) for r in records if isinstance(r, Record)}


def _seeds() -> Sequence[int]:
    """The `seeds` of params.yaml; empty if this version of the suite cannot read the file."""
    with suppress(UserError):
        return load_parameters().seeds
    return ()


def _revision_results(name: str, folder: Path) -> dict[str, Record]:
    """Read the results of revision `name` from `folder`; the error advises a duel."""
    try:
        return _stage_results(folder)
    except UserError as error:
        raise UserError(
            f"This version of the suite cannot read the results of {name!r} ({error.what}).",
            f"Time both revisions: .venv/bin/python -m benchmark duel {name}",
        ) from None


def _unpack(name: str, paths: Sequence[str], folder: Path, kinds: str) -> None:
    """Write the files of git revision `name` at `paths` into `folder`.

    Args:
        name: git revision.
        paths: files and folders, relative to the repository.
        folder: destination.
        kinds: the sources that the user could have named, for the error message.

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

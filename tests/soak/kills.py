"""`python -m tests.soak.kills [options]`: does a killed pipeline lose anything?

Kills `dvc repro` of a small pipeline at random moments and repeats it. The signal is SIGINT,
SIGTERM or SIGKILL, to the running stage, to DVC, or to all at once. Each repetition must have the
digests of an undisturbed pipeline. No training may repeat more than one epoch, and no process and
no temporary file may remain. SIGINT and SIGTERM must end without a traceback. A SIGINT to DVC
alone must change nothing: DVC leaves it to its stage, since Ctrl-C reaches both.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml

from benchmark.common.files import sha256
from tests.support.fixtures import small_content
from tests.support.repository import make_repository, replace_python

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
WHOM = ("stage", "dvc", "group")
EVIDENCE = ("reports/train", "reports/replay", "reports/dataset.json", "reports/weights.json")
"""Files that must not depend on interruptions; speeds and times do."""
LIMIT = 600
"""Seconds that a pipeline may take."""
PATIENCE = 60
"""Seconds within which a process must end after a signal."""
EPOCHS = 4


class Kill(NamedTuple):
    """A signal, its receiver and its time."""

    whom: str
    signal: signal.Signals
    seconds: float
    """Time after the start of `dvc repro`."""


def main(arguments: list[str]) -> int:
    """Kill and repeat; return 1 if something was lost or remained."""
    options = _parser().parse_args(arguments)
    # A shell's background job begins with SIGINT ignored, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        kills = Kills(Path(folder))
        print(f"An undisturbed pipeline takes {kills.seconds:.0f} s.", flush=True)
        bad = 0
        for number in range(options.first, options.first + options.kills):
            faults = kills.one(options.seed, number)
            bad += bool(faults)
    print(f"{options.kills} kills with seed {options.seed}, {bad} with faults.")
    return int(bool(bad))


class Kills:
    """Copies of one repository, and the results of an undisturbed one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = make_repository(folder / "template")
        replace_python(self._template, "tests.support.small")
        (self._template / "params.yaml").write_text(yaml.safe_dump(content()))
        reference, start = self._copy("reference"), time.monotonic()
        process = repro(reference)
        assert process.wait(LIMIT) == 0, output(reference)
        self.seconds = time.monotonic() - start
        self._evidence, self._epochs = evidence(reference), epochs(output(reference))

    def one(self, seed: int, number: int) -> list[str]:
        """Run the kill `number`; return and print its faults."""
        source = random.Random(f"{seed}/{number}")
        moment = self.seconds * source.uniform(0.02, 1)
        kill = Kill(source.choice(WHOM), source.choice(SIGNALS), moment)
        root = self._copy(str(number))
        where, faults = interrupted(root, kill)
        before = output(root)
        if kill.signal != signal.SIGKILL and "Traceback" in before:
            faults.append("a traceback")
        process = repro(root)
        if process.wait(LIMIT):
            faults.append("the repetition failed")
        faults += self._lost(root, before)
        print(f"{number}: {kill.signal.name} to {kill.whom} after {kill.seconds:.1f} s, {where}: "
              f"{'; '.join(faults) or 'nothing lost'}", flush=True)  # fmt: skip
        if faults:
            print(before, "---", output(root).removeprefix(before), sep="\n", flush=True)
        shutil.rmtree(root)
        return faults

    def _lost(self, root: Path, before: str) -> Iterator[str]:
        if evidence(root) != self._evidence:
            yield "other digests"
        for title, count in (epochs(output(root)) - self._epochs).items():
            if count > 1:
                yield f"{title}: {count} epochs repeated"
        if left := leftovers(root):
            yield f"remaining: {', '.join(left)}"

    def _copy(self, name: str) -> Path:
        return Path(shutil.copytree(self._template, self._folder / name, symlinks=True))


def content() -> dict[str, Any]:
    """Parameters of a few epochs; a control and further seeds would run the same code."""
    content = small_content()
    content["train"] |= {"max_epochs": EPOCHS, "patience": EPOCHS}
    return content


def repro(root: Path) -> subprocess.Popen[bytes]:
    """Start `dvc repro` in a session of its own; its output is appended to a log file."""
    (temporary := root.with_name(f"{root.name}.tmp")).mkdir(exist_ok=True)
    variables = os.environ | {
        "PYTHONPATH": str(root), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1",
        "BENCHMARK_LOCK_DIRECTORY": str(root.parent), "DVC_SITE_CACHE_DIR": str(temporary / "dvc"),
    }  # fmt: skip
    with root.with_name(f"{root.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"], cwd=root, env=variables, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip


def output(root: Path) -> str:
    """The pipeline's output so far."""
    return root.with_name(f"{root.name}.log").read_text(errors="replace")


def interrupted(root: Path, kill: Kill) -> tuple[str, list[str]]:
    """Run the pipeline and kill it; return what it was doing, and the faults of its end."""
    process = repro(root)
    dvc, end = psutil.Process(process.pid), time.monotonic() + kill.seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    running = process.poll() is None
    stage = running_stage(dvc) if running else None
    where = stage[1] if stage else "between stages" if running else "after its end"
    family = dvc.children(recursive=True) if running else []
    send(kill, process, stage[0] if stage else dvc)
    faults = list(ending(process, kill, stage[0] if stage else None))
    if running and process.returncode == 0:
        where += ", and the pipeline went on"
    if alive := psutil.wait_procs(family, timeout=30)[1]:
        faults.append(f"{len(alive)} processes remain: {states(alive)}")
    return where, faults


def ending(
    process: subprocess.Popen[bytes], kill: Kill, stage: psutil.Process | None
) -> Iterator[str]:
    """Faults of how the pipeline ends.

    It may continue if the stage had finished when the signal came. DVC ignores a SIGINT until the
    stage has ended.
    """
    if stage and kill.whom != "dvc" and (alive := psutil.wait_procs([stage], timeout=PATIENCE)[1]):
        yield f"the stage continues: {states([stage, *stage.children(recursive=True)])}"
        alive[0].kill()
    may_continue = kill.signal == signal.SIGINT or (stage is not None and kill.whom != "dvc")
    try:
        process.wait(LIMIT if may_continue else PATIENCE)
    except subprocess.TimeoutExpired:
        yield f"it did not end: {states(psutil.Process(process.pid).children(recursive=True))}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()  # DVC takes a zombie process for a running one


def states(processes: Sequence[psutil.Process]) -> list[str]:
    """The state and the command of each process."""
    return [f"{p.pid} {p.status()} {' '.join(p.cmdline()[-4:])}" for p in processes]


def running_stage(dvc: psutil.Process) -> tuple[psutil.Process, str] | None:
    """The process of the running stage, and the stage's arguments."""
    for child in dvc.children(recursive=True):
        try:
            line = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if "tests.support.small" in line:
            return child, " ".join(line[line.index("tests.support.small") + 1 :])
    return None


def send(kill: Kill, dvc: subprocess.Popen[bytes], stage: psutil.Process) -> None:
    """Send the signal to its receiver, unless the pipeline has ended."""
    if dvc.poll() is not None:
        return
    if kill.whom == "group":
        os.killpg(dvc.pid, kill.signal)
    elif kill.whom == "dvc":
        dvc.send_signal(kill.signal)
    else:
        stage.send_signal(kill.signal)


def evidence(root: Path) -> dict[str, str]:
    """Digests of the files that must be the same."""
    paths = [path for name in EVIDENCE for path in ((root / name), *(root / name).rglob("*"))]
    files = [path for path in paths if path.is_file()]
    return {str(path.relative_to(root)): sha256(path) for path in files}


def epochs(text: str) -> Counter[str]:
    """Number of epochs that each training has printed. Replays do not resume and do not count."""
    return Counter(re.findall(r"^(?!.* replay )(cpu[\w ]*) epoch \d+/", text, re.MULTILINE))


def leftovers(root: Path) -> list[str]:
    """Temporary files and checkpoints that should have been removed."""
    hidden = [path for path in root.rglob(".*.tmp") if ".dvc" not in path.parts]
    checkpoints = (root / ".checkpoints").rglob("*.ckpt")
    temporary = root.with_name(f"{root.name}.tmp").iterdir()
    ours = (path for path in temporary if path.name != "dvc" and not _is_torchs(path))
    return [path.name for path in (*hidden, *checkpoints, *ours)]


def _is_torchs(path: Path) -> bool:
    """Whether torch.distributed made the directory, as it does when it is imported."""
    inside = {file.name for file in path.iterdir()} if path.is_dir() else {path.name}
    torchs = {"_remote_module_non_scriptable.py", "__pycache__"}
    return path.name.startswith("tmp") and inside <= torchs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

import os
import subprocess
from pathlib import Path

import pytest
import torch

from benchmark.common.parameters import DataParameters
from benchmark.data.datamodule import LOADER_TIMEOUT
from benchmark.timing import baseline
from tests import REPOSITORY
from tests.support.fixtures import add_system_files
from tests.support.forked_python import python


def test_whole_batches_of_the_training_split(images: Path) -> None:
    data = DataParameters(root=str(images), image_size=32, batch_size=4, num_workers=0, cache_gib=8)
    loader = baseline.loader(data, pin_memory=False, workers=2)
    assert loader.num_workers == 2
    assert loader.timeout == LOADER_TIMEOUT
    batches = list(loader)
    assert len(batches) == 15 // 4
    for pixels, labels in batches:
        assert pixels.shape == (4, 3, 32, 32)
        assert pixels.dtype == torch.float32
        assert pixels.min() < 0 < pixels.max()
        assert set(labels.tolist()) <= {0, 1, 2}


def test_files_of_the_system_are_not_images(images: Path) -> None:
    """macOS and Windows leave them; two of them end in .png, and one is a folder."""
    data = DataParameters(root=str(images), image_size=32, batch_size=4, num_workers=0, cache_gib=8)
    before = baseline.dataset(data)
    add_system_files(images)
    after = baseline.dataset(data)
    assert after.samples == before.samples
    assert after.class_to_idx == before.class_to_idx == {f"class {n}": n for n in range(3)}
    assert len([*baseline.loader(data, pin_memory=False, workers=1)]) == 15 // 4


LOW_LIMIT = """
import resource, sys
from benchmark.common.parameters import load_parameters
from benchmark.machine import processors
from benchmark.timing.timer import ModeTimer
from tests.support.small import replace_networks

resource.setrlimit(resource.RLIMIT_NOFILE, (150, int(sys.argv[1])))
processors.processor_count = lambda: 20
replace_networks()
with ModeTimer("cpu", load_parameters()) as timer:
    for name in timer.modes:
        timer.time(name, 2)
    print(*(timer.loader_processes(name) for name in ("baseline", "baseline_input", "compute")))
    print(timer.capped_workers or 0)
"""


@pytest.mark.parametrize(("hard", "capped"), [(150, True), (1000, False)])
def test_a_low_limit_of_open_files(change, workspace: Path, hard: int, capped: bool) -> None:
    """The soft limit is raised to the hard one; if that is too low, there are fewer workers."""
    done = subprocess.run(
        [python(), "-c", LOW_LIMIT, str(hard)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, none, recorded = map(int, done.stdout.split())
    assert first == second
    assert none == 0
    assert recorded == capped * first
    assert 1 <= first < 10 if capped else first == 20
    warnings = [line for line in done.stderr.splitlines() if "limit of open files" in line]
    assert len(warnings) == capped
    if capped:
        assert f"room for {first} workers" in warnings[0]
        assert "not one for each of 20 processors: raise it (ulimit -n" in warnings[0]

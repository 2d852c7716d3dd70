"""Faster imports: what they leave out, and that a user's own imports get everything."""

import gc
import subprocess
import sys
from importlib.metadata import version

import pytest

from lightning_conformance import imports

LAZY = "from lightning_conformance import imports\nimports.load_torchmetrics_lazily()\n"
LIGHTNING = f"import sys\n{LAZY}import pytorch_lightning\n"


def output(program: str) -> list[str]:
    """Run a program in a new process, and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_lightning_loads_no_more_of_torchmetrics_than_it_needs() -> None:
    modules = output(f"{LIGHTNING}print(*sys.modules)")
    assert {"torchmetrics.metric", "pytorch_lightning.trainer"} <= {*modules}
    unneeded = {"torchmetrics.classification", "torchvision", "scipy", "transformers"}
    assert unneeded & {*modules} == set()


@pytest.mark.parametrize(
    "first",
    [
        "from torchmetrics import *",
        "from torchmetrics.image.fid import FrechetInceptionDistance",
        "from torchmetrics.aggregation import MeanMetric",
    ],
)
def test_whoever_imports_torchmetrics_gets_all_of_it(first: str) -> None:
    program = f"""{LIGHTNING}
from pytorch_lightning.core.module import Metric
{first}
import torchmetrics, torchmetrics.image.fid
accuracy = torchmetrics.MeanMetric()
accuracy.update(2.0)
print(
    isinstance(accuracy, Metric), torchmetrics.Metric is Metric, torchmetrics.__version__,
    sys.modules["torchmetrics.image"] is torchmetrics.image, torchmetrics.image.fid.__spec__.name,
    torchmetrics.functional.classification.accuracy is torchmetrics.functional.accuracy
)
"""
    assert output(program) == [
        "True",
        "True",
        version("torchmetrics"),
        "True",
        "torchmetrics.image.fid",
        "True",
    ]


def test_questions_to_any_module_do_not_load_the_package() -> None:
    """Such as those of `warnings` and of `inspect`."""
    program = f"{LIGHTNING}import inspect, torchmetrics\ninspect.stack(); inspect.getmodule(print)"
    asked = "hasattr(torchmetrics, '__warningregistry__'), 'torchvision' in sys.modules"
    assert output(f"{program}\nprint({asked})") == ["False", "False"]


def test_another_torchmetrics_whose_modules_need_each_other_is_loaded_as_a_whole(
    tmp_path: object,
) -> None:
    program = f"""
import pathlib, sys
package = pathlib.Path({str(tmp_path)!r}, "torchmetrics")
package.mkdir()
(package / "utilities.py").write_text("from torchmetrics import NAME")
(package / "__init__.py").write_text(
    "NAME = 1; from torchmetrics.metric import Metric"
)
(package / "metric.py").write_text("import torchmetrics.utilities\\nclass Metric: pass")
sys.path.insert(0, {str(tmp_path)!r})
{LAZY}
from torchmetrics import Metric
import torchmetrics.metric
print(Metric is torchmetrics.Metric is torchmetrics.metric.Metric)
"""
    assert output(program) == ["True"]


def test_no_garbage_is_collected_meanwhile_and_what_remains_is_never_visited() -> None:
    frozen = gc.get_freeze_count()
    try:
        with imports.without_collection():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()

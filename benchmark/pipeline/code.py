"""The code stage: write digests of the code that each stage runs."""

from benchmark.common.code import STAGES, code_by_module, digest
from benchmark.common.files import write_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import REPORTS


def run(parameters: Parameters) -> None:
    """Write the digest and the modules of each of STAGES to reports/code/<stage>.json.

    If a digest changes, the stage's results are stale. `parameters` are not used.
    """
    for stage, module in STAGES.items():
        texts = stage == "report"  # a report's result is its text
        code = {
            "digest": digest(module, texts=texts),
            "modules": list(code_by_module(module, texts=texts)),
        }
        write_json(REPORTS / "code" / f"{stage}.json", code)

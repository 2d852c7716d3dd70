"""The code stage: digest the code that each stage runs."""

from benchmark.common.code import STAGES, digest, modules
from benchmark.common.parameters import Parameters
from benchmark.common.results import REPORTS, ResultModel, write_result


class Code(ResultModel):
    """What makes a stage's results stale."""

    digest: str
    """sha256 of the modules' syntax trees."""
    modules: tuple[str, ...]
    """Every module that the stage imports."""


def run(parameters: Parameters) -> None:
    """The stage: write reports/code/<stage>.json for each of STAGES."""
    for stage, module in STAGES.items():
        path = REPORTS / "code" / f"{stage}.json"
        code = digest(module, texts=stage == "report")  # a report's result is its text
        write_result(path, Code(digest=code, modules=tuple(modules(module))))

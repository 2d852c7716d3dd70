"""The code stage: write digests of the code that each stage runs."""

from benchmark.common.code import STAGES, code_by_module, digest
from benchmark.common.parameters import Parameters
from benchmark.common.results import REPORTS, ResultModel, write_result


class Code(ResultModel):
    """Digest of the code of a stage. If it changes, the stage's results are stale."""

    digest: str
    """sha256 of the modules' syntax trees."""
    modules: tuple[str, ...]
    """The modules that the digest covers."""


def run(parameters: Parameters) -> None:
    """Write reports/code/<stage>.json for each of STAGES; `parameters` are not used."""
    for stage, module in STAGES.items():
        path = REPORTS / "code" / f"{stage}.json"
        texts = stage == "report"  # a report's result is its text
        code, names = digest(module, texts=texts), tuple(code_by_module(module, texts=texts))
        write_result(path, Code(digest=code, modules=names))

"""The code stage: write digests of the code that each stage runs."""

import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.common import code
from benchmark.common.digests import json_digest
from benchmark.common.files import read_json, sha256, write_json
from benchmark.common.parameters import Parameters
from benchmark.common.results import REPORTS

STORE = Path(".cache/code.json")
"""The last run's results, and the digest of all sources that they depend on."""


def run(parameters: Parameters) -> None:
    """Write the digest and the modules of each of STAGES to reports/code/<stage>.json.

    If a digest changes, the stage's results are stale. Sources are parsed, which takes more than a
    second, only if one of them has changed since STORE was written. `parameters` are not used.
    """
    sources = _sources_digest()
    stored = _stored(sources)
    results = stored or {stage: _result(stage) for stage in code.STAGES}
    for stage, result in results.items():
        write_json(REPORTS / "code" / f"{stage}.json", result)
    if not stored:
        write_json(STORE, {"sources": sources, "results": results})


def _result(stage: str) -> dict[str, Any]:
    """Return the digest of a stage's code, and the names of its modules."""
    module, texts = code.STAGES[stage], stage == "report"  # a report's result is its text
    return {
        "digest": code.digest(module, texts=texts),
        "modules": list(code.code_by_module(module, texts=texts)),
    }


def _stored(sources: str) -> dict[str, dict[str, Any]]:
    """Return the results in STORE; empty if they are of other sources, or STORE is not readable."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = read_json(STORE)
        if content["sources"] == sources:
            return dict(content["results"])
    return {}


def _sources_digest() -> str:
    """Return the digest of Python's version and of all modules and templates of PACKAGES."""
    paths = sorted(
        path
        for package in code.PACKAGES
        for path in (code.ROOT / package).rglob("*")
        if path.suffix in (".py", ".html")
    )
    contents = {str(path.relative_to(code.ROOT)): sha256(path) for path in paths}
    return json_digest([platform.python_version(), contents])

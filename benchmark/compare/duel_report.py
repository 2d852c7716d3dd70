"""A duel's verdict for a pull request and for a program."""

from dataclasses import asdict
from typing import Any

from benchmark.common.formatting import literal, table
from benchmark.compare.duel_verdict import Verdict


def as_markdown(names: tuple[str, str], accelerator: str, verdict: Verdict) -> str:
    """A heading, a sentence and a table."""
    ratio = verdict.ratio
    row = (
        accelerator, literal(names[0]), literal(names[1]), f"**{verdict.kind}**",
        f"{ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f})", str(verdict.pairs),
    )  # fmt: skip
    header = ("Accelerator", "Before", "After", "Verdict", "Rate after / before", "Pairs")
    return (
        f"# Training throughput, side by side\n\n{table(header, [row])}\n\n{verdict}.\n\n"
        "Both revisions trained in turns, block by block, in new processes for each pair. The "
        "interval is one for all looks together (95%).\n"
    )


def as_json(names: tuple[str, str], accelerator: str, verdict: Verdict) -> dict[str, Any]:
    """Everything that is known."""
    return {
        "before": names[0], "after": names[1], "accelerator": accelerator,
        **asdict(verdict), "status": verdict.status,
    }  # fmt: skip

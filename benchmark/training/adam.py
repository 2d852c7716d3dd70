"""Adam's implementations in torch: which one runs.

All give the same bits each time, and each other ones.
"""

from typing import Any

from benchmark.common.parameters import AdamName

FUSED = ("cpu", "cuda", "mps")
"""Kinds of device that have one kernel for all of Adam, as a rule the fastest by torch's
documentation; measured on a CPU alone."""


def implementation(asked: AdamName, kind: str) -> str:
    """`asked`, or for `auto` the fastest that devices of this kind have."""
    if asked != "auto":
        return asked
    return "fused" if kind in FUSED else "for-loop"


def options(asked: AdamName, kind: str) -> dict[str, Any]:
    """What torch's Adam takes for it; without them torch would choose."""
    name = implementation(asked, kind)
    return {"fused": name == "fused", "foreach": name == "foreach"}

"""How long the first run on one's own photographs takes: `python -m tests.first_run BEFORE AFTER`.

From an empty cache to the first training batch: `python -m benchmark check`, then a new process
that imports what `train` imports, builds the decode cache and takes a batch. BEFORE and AFTER are
checkouts, each with its .venv. Their runs alternate; a ratio's interval of 95 % is over pairs of
runs. The operating system's caches stay: a first pass, which does not count, reads the
files, and a last one measures memory. With --peers, the first epoch (from nothing, input only) and
the second are compared with those of torchvision's ImageFolder and of timm's loader, in AFTER's
.venv.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmark.common.statistics import interval
from tests.first_run.measuring import empty_directory, first_run, peak_memory, peer_run

STEPS = ("check", "imports", "cache", "first batch", "all", "processor")


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--photographs", type=Path, required=True, help="see photographs.py")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peers", nargs="*", help="ImageFolder and timm, where installed")
    options = parser.parse_args(arguments)
    files = options.photographs, options.image_size
    if options.peers:
        compare_peers(options.after, *files, options.peers, options.pairs)
    else:
        compare_checkouts(options.before, options.after, *files, options.pairs)


def compare_checkouts(
    before: Path, after: Path, photographs: Path, image_size: int, pairs: int
) -> None:
    """Print seconds of each step, peak memory, and the ratios of both checkouts."""
    sides = {"before": before, "after": after}
    runs: dict[str, list[dict[str, float]]] = {"before": [], "after": [], "decoder": []}
    for pair in range(pairs + 1):
        for name in ("before", "after") if pair % 2 == 0 else ("after", "before"):
            with empty_directory(sides[name], photographs, image_size) as directory:
                runs[name].append(first_run(sides[name], directory, photographs))
            print(f"{pair} {name}: {runs[name][-1]['all']:.1f} s", file=sys.stderr)
        with empty_directory(after, photographs, image_size) as directory:
            runs["decoder"].append(peer_run(after, directory, "decoder", 0))
    for results in runs.values():
        del results[0]
    print(f"{'seconds':<22}{'before':>9}{'after':>9}  before / after (interval over {pairs} pairs)")
    for step in STEPS:
        row(step, [run[step] for run in runs["before"]], [run[step] for run in runs["after"]])
    decoder = [run["all"] for run in runs["decoder"]]
    row("decoder alone", [run["all"] for run in runs["after"]], decoder, "after / decoder")
    memory: dict[str, float] = {}
    for name, checkout in sides.items():
        with empty_directory(checkout, photographs, image_size) as directory, peak_memory() as peak:
            first_run(checkout, directory, photographs)
        memory[name] = peak[0] / 2**20
    ratio = memory["before"] / memory["after"]
    print(f"{'peak MiB (PSS)':<22}{memory['before']:9.0f}{memory['after']:9.0f}  {ratio:.3f}")


def compare_peers(
    after: Path, photographs: Path, image_size: int, peers: Sequence[str], pairs: int
) -> None:
    """Print the seconds of the first and the second epoch of `after` and of each peer."""
    names = ("ours", *peers)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(pairs + 1):
        for name in names if number % 2 == 0 else names[::-1]:
            with empty_directory(after, photographs, image_size) as directory:
                if name == "ours":
                    runs[name].append(first_run(after, directory, photographs, epochs=2))
                else:
                    runs[name].append(peer_run(after, directory, name, epochs=2))
            print(f"{number} {name}: {runs[name][-1]['epoch 1']:.1f} s", file=sys.stderr)
    print(f"{'seconds':<22}{'peer':>9}{'ours':>9}  peer / ours (interval over {pairs} pairs)")
    for epoch in ("epoch 1", "epoch 2"):
        for peer in peers:  # the first pass reads the files and does not count
            theirs, ours = ([run[epoch] for run in runs[name][1:]] for name in (peer, "ours"))
            row(f"{peer}, {epoch}", theirs, ours)


def row(name: str, numerators: list[float], denominators: list[float], about: str = "") -> None:
    """Print medians, and the ratio with its interval over pairs."""
    ratios = [one / other for one, other in zip(numerators, denominators, strict=True)]
    text = f"{name:<22}{median(numerators):9.2f}{median(denominators):9.2f}"
    if len(ratios) > 1:
        ratio = interval(ratios)
        text += f"  {ratio.estimate:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    print(text, about)


if __name__ == "__main__":
    main(sys.argv[1:])

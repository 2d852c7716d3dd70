"""Made-up results of stages, of the types that the stages write."""

from benchmark.data.schema import Dataset, Weights
from benchmark.machine.schema import Environment

DATASET = Dataset(
    md5="0123.dir", nfiles=27, size=27_000, classes=3, images={"train": 15, "val": 6, "test": 6}
)
WEIGHTS = Weights(weights="random")


def environment(label: str = "cpu") -> Environment:
    """The fingerprint of a machine that has the accelerator."""
    return Environment(
        accelerator=label,
        device=f"a {label}",
        machine="a" * 16,
        cpu="a processor",
        cores=4,
        threads=4,
        memory_gib=16,
        system="Linux x86_64",
        python="3.11.7",
        packages={"torch": "2.9.1"},
    )

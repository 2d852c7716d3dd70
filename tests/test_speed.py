from typing import Any

from benchmark.speed import section


def throughput(**ratios: float) -> dict[str, Any]:
    return {
        "accelerator": "cpu",
        "verdict": "unstable: why, what to do",
        "ratios": {n: {"median": r, "low": r - 0.01, "high": r + 0.02} for n, r in ratios.items()},
        "noise_floor": {"median": 1.0, "low": 0.99, "high": 1.01},
        "efficiency": {"utilisation": {"median": 0.495}},
    }


def test_ratios_stand_with_their_intervals_and_the_verdict() -> None:
    page = "\n".join(section([throughput(trainer_over_loop=1.0, input_over_baseline_input=94.6)]))
    assert "- cpu: unstable: why, what to do." in page
    assert "| Accelerator | Trainer / plain loop | Loader / ImageFolder loader, per core |" in page
    assert "| cpu | 1.000 (0.990 to 1.020) | 95 (95 to 95) | 1.000 (0.990 to 1.010) | 50% |" in page


def test_what_one_accelerator_lacks_is_a_dash() -> None:
    page = "\n".join(section([throughput(trainer_over_loop=1.0), throughput()]))
    assert "| cpu | - | 1.000 (0.990 to 1.010) |" in page


def test_nothing_measured_says_nothing() -> None:
    assert section([]) == []

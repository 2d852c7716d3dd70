"""The spread between sessions, estimated from sessions of the same code only."""

from math import exp, log

import pytest

from benchmark.report import comparison
from benchmark.report.comparison_schema import Comparison
from benchmark.report.schema import Record, Session
from benchmark.report.sessions import SessionSpread, between_session_sd, widened_ratio
from tests.report.golden import PARAMETERS
from tests.support.made_records import DATASET, around, record


def sessions(*rates: float, code: str = "c") -> tuple[Session, ...]:
    return tuple(Session(code=code, date="", images_per_second={"trainer": r}) for r in rates)


def test_sessions_of_different_code_do_not_count_as_one_spread() -> None:
    """Three commits, each faster than the one before, on a machine that is always equally fast."""
    faster = [*sessions(100.0, code="a"), *sessions(120.0, code="b"), *sessions(124.0, code="c")]
    assert between_session_sd(faster, "trainer") is None
    same = sessions(124.0, 125.0, 126.0)
    alone, together = (between_session_sd(s, "trainer") for s in (same, [*faster[:2], *same]))
    assert alone == together
    assert alone
    assert alone.deviation == pytest.approx(0.008, rel=0.01)
    assert (alone.degrees, alone.sessions) == (2, 3)


def test_groups_of_equal_code_are_pooled() -> None:
    """The logarithms are 0 and 0.2, 1 and 1.2: each pair has a variance of 0.02 (1 degree)."""
    pairs = [*sessions(1.0, exp(0.2), code="a"), *sessions(exp(1.0), exp(1.2), code="b")]
    spread = between_session_sd(pairs, "trainer")
    assert spread
    assert (spread.degrees, spread.sessions) == (2, 4)
    assert spread.deviation == pytest.approx(0.02**0.5)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_sessions_say_nothing(count: int) -> None:
    assert between_session_sd(sessions(*[50.0, 51.0][:count]), "trainer") is None
    assert between_session_sd(sessions(50.0, 51.0, 52.0), "loop") is None


def test_a_ratio_includes_the_larger_spread_of_both() -> None:
    """The standard deviation is 2 %, Student's t 4.303 (2 degrees), sqrt(2) for two sessions."""
    rate = around(50.0, 0.005)
    calm, lively = SessionSpread(0.001, 2, 3), SessionSpread(0.02, 2, 3)
    ratio = widened_ratio((rate, calm), (rate, lively))
    assert log(ratio.high) == pytest.approx(4.303 * 0.02 * 2**0.5, rel=1e-3)
    assert widened_ratio((rate, None), (rate, lively)) == rate.over(rate)


def with_sessions(result: Record, *rates: float) -> Record:
    return result.model_copy(update={"sessions": sessions(*rates)})


def compare(*local: Record) -> Comparison:
    return comparison.build(local, [], {}, DATASET, PARAMETERS)


def test_the_ratio_to_the_reference_includes_the_difference_between_sessions() -> None:
    records = record(), record("xla", rate=60.0)
    [_, narrow] = compare(*records).present
    [_, wide] = compare(*(with_sessions(r, 45.0, 50.0, 55.0) for r in records)).present
    assert narrow.relative_speed.detectable
    assert not wide.relative_speed.detectable
    assert narrow.session_spread is None
    assert wide.session_spread
    assert wide.session_spread.sessions == 3


@pytest.mark.parametrize(
    ("rate", "rates", "detected"),
    [(745.0, (), False), (700.0, (), True), (700.0, (45.0, 50.0, 55.0), False)],
)
def test_the_summary_says_faster_than_the_second_only_if_that_is_detected(
    rate: float, rates: tuple[float, ...], detected: bool
) -> None:
    """The ratio to the second fastest follows the same rule as the ratio to the reference."""
    local = [record(), record("gpu", rate=rate, spread=0.02), record("tpu", rate=750.0)]
    summary = compare(*(with_sessions(r, *rates) for r in local)).summary
    assert summary.startswith("tpu trains 750 images/s, 15")
    assert (" times that of gpu (" in summary) == detected
    assert (" and not detectably faster than gpu, " in summary) != detected

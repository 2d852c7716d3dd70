import pytest

from benchmark.errors.user_error import UserError
from benchmark.throughput import measurements
from benchmark.throughput.measurements import ProcessRates
from benchmark.throughput.schema import Block
from tests.support.made_results import measurement


def block(seconds: float, compilations: int = 0) -> Block:
    return Block(seconds=seconds, compilations=compilations)


def measured(**modes: list[Block]) -> ProcessRates:
    """The rates of batches of 10 with blocks of two steps: 20 images a block."""
    facts = {"cores": {"input": 1, "baseline_input": 4}}
    return ProcessRates(measurement(modes, steps=2, **facts), 10)


def test_a_rate_is_the_median_over_blocks() -> None:
    process = measured(trainer=[block(1), block(2), block(4)])
    assert process.rate("trainer") == 10
    assert process.modes == ["trainer"]


def test_each_of_the_trainers_blocks_counts() -> None:
    process = measured(trainer=[block(1), block(1)], trainer_aa=[block(4), block(4)])
    assert process.rates("trainer") == [20, 20, 5, 5]
    assert process.noise() == pytest.approx(4)


def test_the_mode_with_more_blocks_is_not_slower_for_it() -> None:
    """Three equal things, one of which is disturbed in each round, whichever it is. A mean of two
    blocks would be disturbed more often than one block is."""
    blocks = {
        "trainer": [block(4), block(1), block(1)],
        "trainer_aa": [block(1), block(4), block(1)],
        "loop": [block(1), block(1), block(4)],
    }
    process = measured(**blocks)
    assert process.ratio("trainer", "loop") == process.ratio("loop", "trainer") == 1
    assert process.rate("trainer") == process.rate("loop")


def test_a_ratio_is_that_of_blocks_of_one_round() -> None:
    """The machine slows down tenfold in the second round, for both alike."""
    process = measured(trainer=[block(1), block(10)], loop=[block(2), block(20)])
    assert process.ratio("trainer", "loop") == pytest.approx(2)
    assert process.ratio("loop", "trainer") == pytest.approx(0.5)


def test_a_ratio_of_loaders_is_per_core() -> None:
    blocks = {"input": [block(1)], "baseline_input": [block(5)]}
    assert measured(trainer=[block(1)], **blocks).ratio("input", "baseline_input") == 5 * 4


def test_blocks_with_compilations_do_not_count() -> None:
    process = measured(
        trainer=[block(50, 3), block(1), block(2)],
        trainer_aa=[block(1), block(1), block(2)],
        loop=[block(1), block(70, 1), block(2)],
    )
    assert process.rates("trainer") == [None, 20, 10, 20, 20, 10]
    assert process.rate("loop") == pytest.approx(15)
    assert process.ratio("trainer", "loop") == pytest.approx(1)
    assert process.noise() == 1


def test_nothing_but_compilations_is_an_error() -> None:
    process = measured(trainer=[block(1, 1), block(1, 2)])
    with pytest.raises(
        UserError, match=r"trainer: a graph was compiled in each of 4 blocks.*Raise"
    ):
        process.rate("trainer")


def test_the_undisturbed_rate_is_that_of_the_fastest_fifth() -> None:
    """One of ten blocks is disturbed to half its speed; nine differ by little."""
    seconds = [2.0, *(1 + 0.01 * k for k in range(9))]
    process = measured(
        trainer=[block(s) for s in seconds[:5]], trainer_aa=[block(s) for s in seconds[5:]]
    )
    assert process.undisturbed() == pytest.approx(20 / 1.02, rel=0.005)


def test_shares_of_a_step_are_those_of_each_process() -> None:
    """Three processes on machines of other moods, in each of which input is 10 %: the two ratios
    move together, and their difference does not move."""
    several = [
        measured(trainer=[block(1)], loop=[block(part)], compute=[block(part - 0.1)])
        for part in (0.9, 0.95, 1.0)
    ]
    shares = measurements.step_shares(several)
    assert shares.input.estimate == pytest.approx(0.1)
    assert (shares.input.low, shares.input.high) == pytest.approx((0.1, 0.1))
    assert shares.compute.high - shares.compute.low > 0.1
    assert sum(part.estimate for _, part in shares) == pytest.approx(1)
    assert measurements.step_shares([measured(trainer=[block(1)], loop=[block(1)])] * 2) is None


def test_processes_are_the_samples_of_an_interval() -> None:
    several = [measured(trainer=[block(second)], loop=[block(1)]) for second in (1, 1.25, 0.8)]
    rates, ratios = measurements.rates(several), measurements.ratios(several)
    assert rates["trainer"].estimate == pytest.approx(20)  # the geometric mean
    assert rates["loop"].relative_width == pytest.approx(0)
    assert ratios.keys() == {"trainer_over_loop"}
    assert ratios["trainer_over_loop"].low < 1 < ratios["trainer_over_loop"].high
    assert measurements.noise_floor(several).estimate == 1

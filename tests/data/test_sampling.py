import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.data.sampling import EpochSampler


def sampler(
    length: int,
    *,
    rank: int = 0,
    ranks: int = 1,
    seed: int = 7,
    shuffle: bool = True,
    epochs: int = 1,
):
    samples = range(length)
    return EpochSampler(
        samples,  # type: ignore[arg-type]
        rank=rank, ranks=ranks, seed=seed, shuffle=shuffle, epochs=epochs,
    )  # fmt: skip


@given(st.integers(1, 60), st.integers(0, 5))
def test_every_sample_once_per_epoch(length: int, epoch: int) -> None:
    one = sampler(length)
    one.set_epoch(epoch)
    keys = list(one)
    assert len(one) == length
    assert {epoch for epoch, _ in keys} == {epoch}
    assert sorted(index for _, index in keys) == list(range(length))


@given(st.integers(1, 40), st.integers(2, 4))
def test_ranks_together_see_what_one_process_sees(length: int, ranks: int) -> None:
    """Position k of the single order is position k // ranks of rank k % ranks."""
    single = list(sampler(length))
    dealt = [list(sampler(length, rank=r, ranks=ranks)) for r in range(ranks)]
    assert {len(share) for share in dealt} == {-(-length // ranks)}
    together = [key for row in zip(*dealt, strict=True) for key in row]
    assert together[:length] == single
    assert together[length:] == (single * ranks)[: len(together) - length]


@given(st.integers(1, 40), st.integers(2, 4))
def test_ranks_evaluate_each_sample_once(length: int, ranks: int) -> None:
    samplers = [sampler(length, rank=r, ranks=ranks, shuffle=False) for r in range(ranks)]
    for rank, one in enumerate(samplers):
        assert [index for _, index in one] == list(range(rank, length, ranks))
        assert len(one) == len(list(one))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_resumed_epoch_lacks_what_was_seen_and_the_next_lacks_nothing(ranks: int) -> None:
    for rank in range(ranks):
        uninterrupted, resumed = (sampler(11, rank=rank, ranks=ranks) for _ in range(2))
        uninterrupted.set_epoch(2)
        resumed.resume(2, 4)
        assert list(resumed) == list(uninterrupted)[4:]
        assert list(resumed) == list(uninterrupted)


def test_evaluation_keeps_the_order_of_the_files() -> None:
    assert [index for _, index in sampler(9, shuffle=False)] == list(range(9))


def test_the_order_is_asked_anew_and_stays_the_same_within_an_epoch() -> None:
    one = sampler(30)
    assert list(one) == list(one)
    first = list(one)
    one.set_epoch(1)
    assert [index for _, index in one] != [index for _, index in first]


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_iteration_of_several_epochs_has_the_samples_of_one_after_the_other(ranks: int) -> None:
    for rank in range(ranks):
        single = sampler(11, rank=rank, ranks=ranks)
        joined = sampler(11, rank=rank, ranks=ranks, epochs=3)
        joined.set_epoch(1)
        keys = []
        for epoch in (3, 4, 5):
            single.set_epoch(epoch)
            keys += list(single)
        assert list(joined) == keys
        assert len(joined) == len(keys)
        joined.resume(1, 13)
        assert list(joined) == keys[13:]

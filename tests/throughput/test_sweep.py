from benchmark.throughput.sweep import points


def test_without_a_sweep_there_are_no_points(change) -> None:
    assert points(change()) == []


def test_every_combination_is_a_point_for_the_trainer_alone(change) -> None:
    sweep = {"batch_size": [2, 4], "precision": ["32-true", "bf16-mixed"], "compile": []}
    found = points(change(throughput={"sweep": sweep}))
    assert [point.changes for point in found] == [
        {"batch_size": 2, "precision": "32-true"}, {"batch_size": 2, "precision": "bf16-mixed"},
        {"batch_size": 4, "precision": "32-true"}, {"batch_size": 4, "precision": "bf16-mixed"},
    ]  # fmt: skip
    last = found[-1].parameters
    assert (last.data.batch_size, last.train.precision) == (4, "bf16-mixed")
    assert last.throughput.modes == ("trainer",)
    assert points(last) == []


def test_each_value_reaches_its_section(change) -> None:
    sweep = {"channels_last": [True], "compile": [True], "num_workers": [3], "batch_size": [8]}
    (point,) = points(change(throughput={"sweep": sweep}))
    model, data = point.parameters.model, point.parameters.data
    assert (model.channels_last, model.compile) == (True, True)
    assert (data.num_workers, data.batch_size) == (3, 8)

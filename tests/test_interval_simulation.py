from tests import interval_simulation


def test_every_kind_of_interval_and_verdict_is_simulated(capsys) -> None:
    """How often each is right takes minutes to tell; that each can be simulated does not."""
    interval_simulation.main(["3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len([*interval_simulation.cases()])
    assert all("% " in line for line in lines)

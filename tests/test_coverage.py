from tests import coverage


def test_every_kind_of_interval_and_verdict_is_simulated(capsys) -> None:
    """How often each is right takes minutes to tell; that each can be simulated does not."""
    coverage.main(["3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len([*coverage.cases()])
    assert all("% " in line for line in lines)

"""docs/commands.md lists the commands that the parser has."""

from benchmark.command_line import documentation
from tests import REPOSITORY


def test_the_page_of_commands_is_what_the_parser_gives() -> None:
    """`.venv/bin/python -m benchmark.command_line > docs/commands.md` writes it again."""
    assert (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8") == documentation()

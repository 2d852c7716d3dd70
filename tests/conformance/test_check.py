"""`check`: the rules inside another test."""

import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import LightningDataModule, Trainer

from lightning_conformance import check, rules
from lightning_conformance.source import (
    DataModuleSource,
    SourceError,
    parse_arguments,
    source_of,
)
from tests.conformance.datamodules.broken import RawPixels
from tests.conformance.datamodules.others import PredictsOnly
from tests.conformance.datamodules.pictures import PicturesModule


class Saved(PicturesModule):
    """Keeps its arguments."""

    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        self.save_hyperparameters()


class PartlySaved(PicturesModule):
    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        self.save_hyperparameters("seed")


class SavedWithOptions(PicturesModule):
    def __init__(self, folder: str, **options: int) -> None:
        super().__init__(folder, options.get("seed", 0))
        self.save_hyperparameters()


class WithoutArguments(LightningDataModule):
    pass


def made(folder: str) -> LightningDataModule:
    return PicturesModule(folder)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge only these rules: the other ones take seconds."""
    monkeypatch.setattr(rules, "MODULES", ("test_shapes",))


@pytest.mark.usefixtures("shapes")
def test_broken_rules_are_one_error_that_describes_each_once(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as raised:
        check(RawPixels, folder=str(tmp_path))
    text = str(raised.value)
    assert text.count("\n  seen  ") == text.count("\n  why   ") == text.count("\n  fix   ") == 1
    assert "images are finite and scaled\n\n  seen  batch 0" in text
    assert text.splitlines()[0] == "broken: images are finite and scaled", "pytest's short summary"
    assert text.endswith("1 broken, 0 not judged")


@pytest.mark.usefixtures("shapes")
def test_lightning_logs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its lines would stand before the rules in the output of a failing test."""
    logger = logging.getLogger("pytorch_lightning")
    levels = [logger.level, logging.getLogger("pytorch_lightning.utilities.rank_zero").level]
    check(PicturesModule, folder=str(tmp_path))
    assert caplog.text == "".join(capfd.readouterr()) == ""
    Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    assert "GPU available" in caplog.text
    assert levels == [
        logger.level, logging.getLogger("pytorch_lightning.utilities.rank_zero").level
    ]  # fmt: skip


@pytest.mark.usefixtures("shapes")
def test_an_acknowledged_deviation_is_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "tests.conformance.datamodules.broken:RawPixels"
    content = f'["{path}"]\n"images are finite and scaled" = "Our model expects it."\n'
    (tmp_path / "conformance.toml").write_text(content)
    monkeypatch.chdir(tmp_path)
    check(RawPixels, folder=str(tmp_path))


class Warns(PicturesModule):
    def __init__(self, folder: str, seed: int = 0) -> None:
        super().__init__(folder, seed)
        warnings.warn("a new version is available", stacklevel=2)


@pytest.mark.usefixtures("shapes")
def test_a_warning_is_not_an_error_as_it_may_be_in_a_projects_tests(tmp_path: Path) -> None:
    check(Warns, folder=str(tmp_path))


@pytest.mark.parametrize("target", [PicturesModule, made])
def test_a_class_or_a_function_is_made_with_its_arguments(target: Any, tmp_path: Path) -> None:
    source = source_of(target, {"folder": tmp_path})
    assert source == DataModuleSource(
        f"{target.__module__}:{target.__name__}", (("folder", tmp_path),)
    )


def test_a_new_object_is_made_with_the_arguments_that_an_object_kept(tmp_path: Path) -> None:
    source = source_of(Saved(str(tmp_path), seed=7), {})
    assert dict(source.arguments) == {"folder": str(tmp_path)}, "the kit chooses the seed"
    assert pickle.loads(pickle.dumps(source)).make(3).seed == 3
    assert source_of(WithoutArguments(), {}).make(0) is not None
    options = source_of(SavedWithOptions("folder", seed=7, size=8), {}).arguments
    assert dict(options) == {"folder": "folder", "size": 8}


class Emptied(PicturesModule):
    def __init__(self, folders: list[str], seed: int = 0) -> None:
        super().__init__(folders.pop(), seed)


def test_a_datamodule_without_training_data_does_not_pass() -> None:
    with pytest.raises(AssertionError, match=r"could be judged.* it has no train_dataloader"):
        check(PredictsOnly)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("010", 10),
        ("0o10", 8),
        (".inf", float("inf")),
        ("true", True),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("null", None),
        ("[1, 2.5, a]", [1, 2.5, "a"]),
        ("{a: 1}", {"a": 1}),
        ("'010'", "010"),
        ("a=b", "a=b"),
    ],
)
def test_values_of_the_command_line_are_read_as_yaml_1_2(text: str, value: object) -> None:
    (pair,) = parse_arguments([f"key={text}"])
    assert pair == ("key", value)
    assert type(pair[1]) is type(value)


def test_each_new_object_gets_a_copy_of_the_arguments(tmp_path: Path) -> None:
    source = source_of(Emptied, {"folders": [str(tmp_path)]})
    assert source.make(0) is not source.make(0)


class NoData(LightningDataModule):
    def __init__(self, file: str = "absent.csv") -> None:
        super().__init__()
        self.text = Path(file).read_text()


class NoDownload(LightningDataModule):
    def __init__(self) -> None:
        raise RuntimeError("Dataset not found. You can use download=True to download it")


class AddsNone(LightningDataModule):
    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        self.size = size + 1  # type: ignore[operator]


def inner() -> type[LightningDataModule]:
    class Inner(LightningDataModule):
        pass

    return Inner


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        (PicturesModule("f"), {}, 'PicturesModule(...) did not save its arguments "folder"'),
        (PartlySaved("f"), {}, 'PartlySaved(...) did not save its arguments "folder"'),
        (Saved("folder"), {"seed": 1}, "Saved(...) is already an object"),
        (inner(), {}, "inner.<locals>.Inner can't be imported"),
        (lambda: None, {}, "<lambda> can't be imported"),
        (
            PicturesModule,
            {"folder": inner()},
            "PicturesModule can't be pickled for another process",
        ),
        ("a.module:Data", {}, "check takes a LightningDataModule, not a str"),
        (NoData, {}, "If data are missing, put them there, or name their folder: --datamodule-arg"),
        (NoData, {}, f"A relative path starts at {Path.cwd()}."),
        (NoDownload, {}, "If data are missing, put them there"),
        (AddsNone, {}, "Look for the cause: make it in Python with the same arguments"),
        (AddsNone, {}, f"(__init__ in {__file__}:"),
        (PicturesModule, {}, "missing 1 required positional argument: 'folder'. Give its"),
    ],
)
def test_what_other_processes_can_not_make_is_refused_with_the_remedy(
    target: Any, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(SourceError) as raised:
        check(target, **arguments)
    assert words in str(raised.value)


def test_a_class_of_a_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The __main__ of another process is another module."""
    monkeypatch.setattr(PicturesModule, "__module__", "__main__")
    with pytest.raises(SourceError, match="__main__:PicturesModule can't be imported"):
        check(PicturesModule, folder="folder")

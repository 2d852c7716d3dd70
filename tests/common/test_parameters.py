import re
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmark.common.files import read_yaml
from benchmark.common.parameters import Parameters, load_parameters, parse_parameters
from benchmark.errors.user_error import UserError
from tests import PARAMETERS, REPOSITORY


def test_the_repositorys_own_file_is_valid() -> None:
    load_parameters(REPOSITORY / "params.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (None, "seed", -1, r"seed = -1: input should be greater than or equal to 0"),
        (None, "seed", 1.5, r"seed = 1\.5: input should be a valid integer"),
        (None, "accelerators", [], r"accelerators = \[\]: .*at least 1 item"),
        (None, "accelerators", ["npu"], r"accelerators\.0 = 'npu': .*'cpu', 'gpu', 'tpu' or 'xla'"),
        (None, "accelerators", ["cpu", "cpu"], r"accelerators = .* names an accelerator twice"),
        (None, "colour", 1, r"colour is unknown"),
        ("data", "batch_size", 0, r"data\.batch_size = 0: .*greater than or equal to 1"),
        ("data", "image_size", 8, r"data\.image_size = 8: .*greater than or equal to 32"),
        ("data", "num_workers", -2, r"data\.num_workers = -2"),
        ("data", "root", "", r"data\.root = ''"),
        ("model", "weights", None, r"model\.weights = None"),
        ("train", "learning_rate", 0, r"train\.learning_rate = 0: .*greater than 0"),
        ("train", "learning_rate", "fast", r"train\.learning_rate = 'fast': .*valid number"),
        ("train", "precision", "8", r"train\.precision = '8': .*'32-true'"),
        ("train", "max_epochs", 0, r"train\.max_epochs = 0"),
        (None, "controls", ["xla"], r"controls = .*that is not in accelerators"),
        (None, "seeds", [7], r"seeds = .*repeats a seed, or `seed`"),
        (None, "seeds", [8, 8], r"seeds = .*repeats a seed, or `seed`"),
        (None, "seeds", [-1], r"seeds\.0 = -1"),
        ("train", "unfreeze_epoch", 3, r"train: unfreeze_epoch is not below max_epochs"),
        ("report", "target_accuracy", 1, r"report\.target_accuracy = 1: .*less than 1"),
        ("throughput", "repeats", 1, r"throughput\.repeats = 1"),
        ("throughput", "sweep", {"batch": [1]}, r"throughput\.sweep\.batch is .* mean batch_size"),
        ("report", "price_per_hour", {"npu": 1.0}, r"report\.price_per_hour"),
    ],
)
def test_a_wrong_value_is_named(raw_parameters, section, key, value, message) -> None:
    (raw_parameters[section] if section else raw_parameters)[key] = value
    with pytest.raises(UserError, match=r"params\.yaml: " + message):
        parse_parameters(raw_parameters, "params.yaml")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"train": {"unfreeze_epoch": 1}}, "unfreeze_epoch is set, but model.freeze_backbone"),
        (
            {"model": {"compile": "default"}},
            "model.compile = 'default': has no effect with freeze_backbone",
        ),
    ],
)
def test_a_frozen_backbone_is_neither_unfrozen_nor_compiled(
    raw_parameters: dict[str, Any], other: dict[str, Any], message: str
) -> None:
    raw_parameters["model"]["freeze_backbone"] = True
    for section, values in other.items():
        raw_parameters[section] |= values
    with pytest.raises(UserError, match=re.escape(message)):
        parse_parameters(raw_parameters, "params.yaml")


@pytest.mark.parametrize(
    ("weights", "path"),
    [
        ("random", None), ("IMAGENET1K_V2", None), ("a/b.pt", Path("a/b.pt")),
        ("source", Path("weights/source.safetensors")),
        ("DEFAULT", None),
        ("IMAGENET1K_SWAG_E2E_V1", None),
        ("IMAGENET1K_V1.pth", Path("IMAGENET1K_V1.pth")),
    ],
)  # fmt: skip
def test_what_file_the_weights_are(raw_parameters, weights: str, path: Path | None) -> None:
    raw_parameters["model"]["weights"] = weights
    assert parse_parameters(raw_parameters, "").model.weights_file == path


def keys(content: Any, prefix: str = "") -> list[str]:
    nested = [keys(v, f"{prefix}{k}.") if isinstance(v, dict) else [] for k, v in content.items()]
    return [f"{prefix}{key}" for key in content] + [key for inner in nested for key in inner]


def test_every_key_is_needed(raw_parameters: dict[str, Any]) -> None:
    for key in keys(raw_parameters):
        content = Parameters.model_validate(raw_parameters).model_dump()
        *path, last = key.split(".")
        section = content
        for part in path:
            section = section[part]
        del section[last]
        with pytest.raises(UserError, match=f"{key} is missing"):
            parse_parameters(content, "params.yaml")


def test_all_mistakes_are_named_at_once(raw_parameters: dict[str, Any]) -> None:
    raw_parameters["seed"] = -1
    del raw_parameters["model"]
    with pytest.raises(UserError, match=r"seed = -1.*; model is missing"):
        parse_parameters(raw_parameters, "params.yaml")


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        ("data", "batchsize", r"data\.batchsize is unknown; did you mean batch_size\?"),
        ("throughput", "sweeps", r"throughput\.sweeps is unknown; did you mean sweep\?"),
        (None, "sed", r"sed is unknown; did you mean seed\?"),
        ("train", "zebra", r"train\.zebra is unknown\."),
    ],
)
def test_a_mistyped_key_is_told_from_the_one_that_was_meant(
    raw_parameters: dict[str, Any], section: str | None, key: str, message: str
) -> None:
    (raw_parameters[section] if section else raw_parameters)[key] = 1
    with pytest.raises(UserError, match=message):
        parse_parameters(raw_parameters, "params.yaml")


VALUES = (
    "010", "0o10", "0x10", "0b11", "1_000", "09", "-0", "1e-3", "1e5", "12e03", "1.", ".5", "1_0.5",
    "1e999", ".inf", "-.Inf", ".nan", "true", "False", "yes", "on", "NO", "12:30", "190:20:30.15",
    "null", "~", "", "'7'", "0.1.2", "!!int '3'", "!!float 3",
)  # fmt: skip
"""Values that YAML 1.1 (PyYAML) and YAML 1.2 (DVC) may read differently."""


@pytest.mark.parametrize("value", VALUES)
def test_values_are_what_dvc_writes_to_dvc_lock(tmp_path: Path, value: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {value}\n")
    assert repr(read_yaml(path)) == repr(load_yaml(path))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("010", 10), ("0o10", 8), ("1_000", 1000), ("0x10", 16), ("true", None), ("1.0", None),
        ("1e3", None), ("12:30", None), ("'7'", None), (".inf", None), ("null", None),
    ],
)  # fmt: skip
def test_a_seed_is_an_integer_as_dvc_reads_it(tmp_path: Path, value: str, expected) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMETERS.read_text().replace("seed: 7\n", f"seed: {value}\n"))
    if expected is not None:
        assert load_parameters(path).seed == expected
        return
    with pytest.raises(UserError, match=r"params\.yaml: seed = .*: input should be a valid int"):
        load_parameters(path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1e-3", 1e-3), ("1", 1.0), (".5", 0.5), ("1_0.5", 10.5), ("0x10", 16.0), ("true", None),
        (".inf", None), (".nan", None), ("1e999", None), ("12:30", None), ("'1e-3'", None),
    ],
)  # fmt: skip
def test_a_rate_is_a_finite_number_as_dvc_reads_it(tmp_path: Path, value: str, expected) -> None:
    path = tmp_path / "params.yaml"
    text = PARAMETERS.read_text()
    changed = text.replace("  learning_rate: 0.0001\n", f"  learning_rate: {value}\n")
    assert changed != text
    path.write_text(changed)
    if expected is not None:
        assert load_parameters(path).train.learning_rate == expected
        return
    with pytest.raises(UserError, match=r"train\.learning_rate = .*: input should be a .* number"):
        load_parameters(path)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=1_000", (1000, 1e-4)),
        ("train.learning_rate=0.00001", (7, 1e-5)),  # DVC writes 1e-05
        ("train.learning_rate=1e-3", (7, 1e-3)),
        ("seed=010", r"seed = '010': input should be a valid integer"),
        ("seed=true", r"seed = True: input should be a valid integer"),
        ("train.learning_rate=inf", r"learning_rate = inf: input should be a finite number"),
    ],
)
def test_an_experiment_trains_with_what_dvc_writes(tmp_path: Path, override: str, expected) -> None:
    """`dvc exp run -S` changes params.yaml by this function."""
    path = tmp_path / "params.yaml"
    path.write_text(PARAMETERS.read_text())
    apply_overrides(path, [override])
    if isinstance(expected, tuple):
        parameters = load_parameters(path)
        assert (parameters.seed, parameters.train.learning_rate) == expected
        return
    with pytest.raises(UserError, match=expected):
        load_parameters(path)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("model", "compile", "yes", r"model\.compile = 'yes': must be false, default"),
        ("model", "compile", True, r"model\.compile = True: .*default \(formerly true\)"),
        ("model", "compile", ["default"], r"model\.compile = .*: must be false"),
        ("model", "channels_last", 1, r"model\.channels_last = 1: .*valid boolean"),
        ("trainer", "devices", True, r"trainer\.devices = True: .*valid integer"),
        ("throughput", "sweep", {"batch_size": [8.0]}, r"sweep\.batch_size\.0 = 8\.0: .*integer"),
        ("throughput", "sweep", {"compile": [0]}, r"sweep\.compile\.0 = 0: must be false"),
        ("report", "price_per_hour", {"cpu": float("inf")}, r"price_per_hour\.cpu = inf: .*finite"),
        ("report", "price_per_hour", {"cpu": True}, r"price_per_hour\.cpu = True: .*number"),
        ("data", "root", 7, r"data\.root = 7: .*valid string"),
        ("data", "root", "a\0b", r"data\.root = 'a\\x00b': "),
        ("model", "weights", "a\0b", r"model\.weights = 'a\\x00b': "),
    ],
)
def test_a_value_of_another_kind_is_refused(raw_parameters, section, key, value, message) -> None:
    raw_parameters[section][key] = value
    with pytest.raises(UserError, match=message):
        parse_parameters(raw_parameters, "params.yaml")


def test_the_bundled_weights_are_of_one_network(raw_parameters) -> None:
    raw_parameters["model"] |= {"architecture": "vit_b_16", "weights": "source"}
    message = r"model\.weights = 'source': has weights of resnet50, not of vit_b_16; choose random"
    with pytest.raises(UserError, match=message):
        parse_parameters(raw_parameters, "params.yaml")


def test_a_file_without_a_network_means_resnet50(raw_parameters) -> None:
    raw_parameters["model"].pop("architecture", None)
    assert parse_parameters(raw_parameters, "").model.architecture == "resnet50"


def test_a_repeated_key_is_refused_as_by_dvc(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"{PARAMETERS.read_text()}seed: 8\n")
    with pytest.raises(UserError, match=r"params\.yaml is not YAML: line \d+: .*duplicate key"):
        load_parameters(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not here"),
        (b"a: 1\nb: [", r"is not YAML: line 2: expected the node content, but found"),
        (b"a: \xed\xa0", "is not UTF-8"),
        (b"a: 2001-99-99", "is not YAML: month must be in 1..12"),
        (b"a: !!timestamp x", "is not YAML: line 1: failed to construct timestamp"),
        (b"[" * 2000, "is not YAML: maximum recursion depth exceeded"),
        (b"a: " + b"9" * 5000, "is not YAML: Exceeds the limit"),
        (b"", "valid dictionary"),
        (b"7", "dictionary"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content, message: str) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"params\.yaml.*{message}"):
        load_parameters(path)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [("x" * 200, f"'{'x' * 76}..."), (16**5000, "a number with very many digits")],
    ids=["text", "number"],
)
def test_a_long_value_is_cut(raw_parameters: dict[str, Any], value: Any, quoted: str) -> None:
    raw_parameters["seed"] = value
    with pytest.raises(UserError, match=f"seed = {re.escape(quoted)}: "):
        parse_parameters(raw_parameters, "params.yaml")


ODD = (
    "2001-01-01", "2001-99-99", "!!python/object:os.system x", "!!binary aGk=", "&a [*a]", "*b",
    "[" * 1000, "9" * 5000, "0x" + "f" * 5000, "1e999", ".nan", "!!float abc", "!!timestamp 5", "~",
    "{a: b", "<<: 5", "? [a]", "%YAML 9.9", "---", "\x00", "- -", "1:1:1", " \t x", "''", "true",
)  # fmt: skip
"""Values that YAML converts to other types or cannot read."""


@pytest.mark.fuzz
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(ODD), st.sampled_from("vkil")),
        min_size=1, max_size=3,
    ),
    noise=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=2),
)  # fmt: skip
def test_whatever_is_written_there_ends_in_one_line(tmp_path_factory, edits, noise) -> None:
    """Edit lines and flip bytes of the repository's params.yaml."""
    lines = (REPOSITORY / "params.yaml").read_text().splitlines()
    for place, odd, kind in edits:
        line = lines[place % len(lines)]
        key = line.split(":")[0]
        changed = {"v": f"{key}: {odd}", "k": f"{odd}: 1", "i": f"{line}\n{odd}", "l": odd}
        lines[place % len(lines)] = changed[kind]
    content = bytearray("\n".join(lines).encode())
    for place, byte in noise:
        content[place % len(content)] = byte
    path = tmp_path_factory.mktemp("fuzz") / "params.yaml"
    path.write_bytes(content)
    message = "it is valid"
    try:
        load_parameters(path)
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1

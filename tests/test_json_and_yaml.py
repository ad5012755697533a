"""JSON and YAML from elsewhere: what it holds, or one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mmbench.checkpoint import FORMAT, read_checkpoint
from mmbench.errors import MMBenchError, brief
from mmbench.json_text import parse_json
from mmbench.recipe import load_recipe, parse_overrides
from mmbench.records.store import read_record
from mmbench.yaml_file import parse_yaml

DEEP = "[" * 10_000 + "]" * 10_000
LAUGHS = "[&a0 [ha], " + ", ".join(f"&a{i + 1} [" + 10 * f"*a{i}," + "]" for i in range(6)) + "]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DEEP, "nested too deeply"),
        ("[" * 10_000, "nested too deeply"),
        ("1" * 5000, "is not JSON"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("", "is not JSON"),
    ],
)
def test_json_that_cannot_be_read_is_one_line(text, message):
    with pytest.raises(MMBenchError, match=message) as error:
        parse_json(text, "p.json", unique_keys=True)
    assert str(error.value).startswith("p.json")
    assert "\n" not in str(error.value)


def test_half_of_a_character_becomes_the_one_that_stands_for_a_lost_one():
    found = parse_json(r'{"a \ud83d": ["\ude00", "\ud83d\ude00", "\\ud83d"]}', "p.json")
    assert found == {"a \ufffd": ["\ufffd", "\U0001f600", r"\ud83d"]}
    assert parse_yaml(r'"a \uD83D"', "r.yaml") == "a \ufffd"
    json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        "[" * 10_000,
        "- " * 5000,
        "2024-99-99",
        "!!bool maybe",
        "!!timestamp soon",
        "1" * 5000,
        "&a [*a]",
        LAUGHS,
    ],
)
def test_yaml_that_cannot_be_read_is_one_line(tmp_path, text):
    with pytest.raises(MMBenchError, match=r'^overrides\["fusion"\]: ') as error:
        parse_overrides([f"fusion={text}"])
    assert "\n" not in str(error.value)
    path = tmp_path / "mine.yaml"
    path.write_text(f"fusion: {text}")
    with pytest.raises(MMBenchError, match=r"mine\.yaml: "):
        load_recipe(str(path))


@pytest.mark.parametrize(
    "metadata",
    [
        DEEP,
        json.dumps({"format": str(FORMAT), "recipe": DEEP, "assets": "{}", "about": "{}"}),
        json.dumps({"format": str(FORMAT), "recipe": "[]", "assets": "3", "about": "null"}),
        "[]",
    ],
)
def test_a_checkpoint_with_odd_metadata_is_one_line(tmp_path, metadata):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", {"mmbench": metadata})
    with pytest.raises(MMBenchError, match="not a checkpoint of mmbench"):
        read_checkpoint(tmp_path / "w.safetensors")


def test_a_record_that_is_nested_deeply_is_one_line(tmp_path):
    (tmp_path / "run.json").write_text('{"schema_version": 1, "recipe": ' + DEEP + "}")
    with pytest.raises(MMBenchError):
        read_record(tmp_path)


def test_values_in_messages_are_short_however_large_they_are():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 10**6, list(range(10**6)), {"a": ["x" * 1000] * 1000}):
        assert len(brief(value)) <= 80

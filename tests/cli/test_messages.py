"""Commands that messages and docstrings name: each is there, and what it names is too."""

import ast
import re
import shlex

import pytest
import typer

import mmbench.cli.show as show
from mmbench import registry
from mmbench.checks.parts import CHECKED
from mmbench.cli.commands import app
from mmbench.cli.listing import LISTED, list_text
from mmbench.data.dataset import load_spec
from mmbench.data.splits import load_split
from mmbench.errors import MMBenchError
from mmbench.records.store import find_records
from tests.conftest import ROOT

NAMED = re.compile(r"`mmbench ([^`]*)`")
# What stands in a message for something that is known when it is said.
STANDS_FOR = {
    "'|'.join(LISTED)": ["|".join(LISTED)],
    "listed": list(LISTED),
    "kinds[0]": [*registry.CODE_KINDS, *registry.FILE_KINDS],
    "kind": [*registry.CODE_KINDS, *registry.FILE_KINDS],
    "spec.asked_as": ["easy_vqa"],
    "spec.task": ["vqa"],
    "task": ["vqa", "captioning"],
    "shlex.quote(str(path))": ["results"],
    "shlex.quote(str(folder))": ["results"],
    "command": ["run", "compare"],
    "short": ["fusion", "encoder"],
    "where": ["concat"],
    "metric_class": ["mmbench.metrics.accuracy:Accuracy"],
    "part.name": ["concat"],
    "cls.__module__": ["mmbench.zoo.fusion.concat"],
    "cls.__name__": ["ConcatFusion"],
}
GIVEN = {"--task": "tasks", "--dataset": "datasets", "--model": "recipes"}
ANYTHING = re.compile(r"[A-Z][A-Z_=.a-z]*")  # DATASET, KEY=VALUE


def texts_of(node):
    """All that a string of the source may say, with what it puts in filled in."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    found = [""]
    for part in node.values:
        if isinstance(part, ast.Constant):
            found = [text + part.value for text in found]
        else:
            written = ast.unparse(part.value)
            values = STANDS_FOR.get(written, [f"<{written}>"])
            found = [text + value for text in found for value in values]
    return found


def commands():
    """By command as it is written, the file that names it."""
    found = {}
    for package in ("mmbench", "tasks", "baselines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "`mmbench " not in source:
                continue
            tree = ast.parse(source)
            inner = {
                id(part)
                for node in ast.walk(tree)
                if isinstance(node, ast.JoinedStr)
                for part in node.values
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in inner:
                    for text in texts_of(node):
                        for command in NAMED.findall(text):
                            found.setdefault(" ".join(command.split()), path)
    return found


COMMANDS = commands()


def follow(command):
    """Raise for a command that is not there, or that names what is not there."""
    words = shlex.split(command.partition(" | ")[0])
    place = typer.main.get_command(app)
    while words and hasattr(place, "commands"):
        assert words[0] in place.commands, f"no command {words[0]}"
        name, place = words[0], place.commands[words.pop(0)]
    if not words or hasattr(place, "commands"):
        return
    options = {option: param for param in place.params for option in param.opts}
    arguments = []
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            arguments.append(word)
        elif word != "--help":
            assert word in options, f"{name} has no {word}"
            value = None if options[word].is_flag else words.pop(0)
            if word in GIVEN and not ANYTHING.fullmatch(value):
                assert registry.has(GIVEN[word], value), f"nothing is called {value}"
    if name == "run" and ("--task" in command or "--model" in command):
        assert "NAME" in command or ("--task" in command and "--model" in command)
    for argument in arguments:
        if name == "list":
            for what in argument.split("|"):
                if what != "mmbench":
                    assert list_text(what)
        elif name == "check" and argument is arguments[0]:
            assert argument in CHECKED
        elif name == "show" and not ANYTHING.fullmatch(argument):
            assert show.show_text(argument)


def test_commands_are_found_in_messages():
    assert len(COMMANDS) > 30
    assert any(command.startswith("list metrics") for command in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_that_is_named_can_be_followed(command):
    assert "<" not in command, f"say in STANDS_FOR what {command} is ({COMMANDS[command]})"
    follow(command)


def command_in(error):
    [command] = NAMED.findall(str(error.value))
    return command


@pytest.mark.parametrize("kind", [*registry.CODE_KINDS, *registry.FILE_KINDS])
def test_an_unknown_name_of_any_kind_leads_to_its_list(kind):
    for asked in (
        lambda: registry.check(kind, "nonesuch"),
        lambda: registry.kind_of("nonesuch", [kind]),
    ):
        with pytest.raises(MMBenchError) as error:
            asked()
        follow(command_in(error))


MINE = """
task: vqa
summary: mine
homepage: https://example.org
licence: mine
citation: none
folder: t.json, and a picture of each row
layout: {reader: json_table, columns: {text: 0, target: 1, image: 2}}
splits:
  train: {table: t.json, images: "{image}.png"}
  test: {table: t.json, images: "{image}.png"}
"""


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "my files"
    folder.mkdir()
    (folder / "mine_vqa.yaml").write_text(MINE)
    return folder / "mine_vqa.yaml"


def test_a_dataset_of_ones_own_is_shown_as_the_message_says(mine):
    with pytest.raises(MMBenchError) as error:
        load_split(load_spec(str(mine), "vqa"), "test", "questions")
    [_, shown] = shlex.split(command_in(error))
    text = show.show_text(shown)
    assert text.startswith(f"dataset {mine}")
    assert "any number" in text


def test_a_recipe_is_shown_on_a_dataset_of_ones_own(mini_folder, tmp_path):
    whole = (mini_folder / "mini.yaml").read_text()
    source = next(line for line in whole.splitlines() if line.startswith("source:"))
    (tmp_path / "mine.yaml").write_text(whole.replace(source, ""))
    asked = ("gated_fusion", "vqa", str(tmp_path / "mine.yaml"))
    with pytest.raises(MMBenchError, match="--data-dir"):
        show.show_text(*asked)
    text = show.show_text(*asked, data_dir=mini_folder / "mini_vqa")
    assert "parameters" in text
    text = show.show_text(str(tmp_path / "mine.yaml"), data_dir=mini_folder / "mini_vqa")
    assert "test: " in text
    assert "questions" in text


def test_a_folder_without_records_leads_to_a_whole_command(tmp_path):
    empty = tmp_path / "my results"
    empty.mkdir()
    with pytest.raises(MMBenchError) as error:
        find_records([empty])
    words = shlex.split(command_in(error))
    assert words[words.index("--out") + 1] == str(empty)
    typer.main.get_command(app).commands["run"].make_context("run", words[1:])
    follow(command_in(error))


def test_a_dataset_of_another_task_leads_to_those_of_this_one():
    with pytest.raises(MMBenchError) as error:
        load_spec("easy_vqa", "captioning")
    assert "--task vqa" in str(error.value)
    follow(command_in(error))

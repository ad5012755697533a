"""Messages name options to whoever calls by command, and arguments to whoever calls from Python."""

import ast
import inspect
import re
from functools import cache

import pytest
import typer

import mmbench
from mmbench.cli.commands import app
from mmbench.errors import MMBenchError
from mmbench.option_words import _COMMAND, _FLAGS, as_called, in_python, on_command_line
from mmbench.request import RunRequest
from mmbench.study import Study
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("option", "argument"),
    [
        ("--limit must be at least 1, got 0", "limit= must be at least 1, got 0"),
        ("Train it with --train.", "Train it with train=True."),
        ("drop --no-references", "drop references=False"),
        ("give --format=html", 'give format="html"'),
        ("try --set train.epochs=3?", 'try overrides={"train.epochs": 3}?'),
        ("--set fusion=gated, then", 'overrides={"fusion": "gated"}, then'),
        ("--set 'stages=[{a: 1}]'", 'overrides={"stages": [{"a": 1}]}'),
        ("Lower it: --set train.lr=...", 'Lower it: overrides={"train.lr": ...}'),
        ("--set width: no number", 'overrides["width"]: no number'),
        ("--base-url is none", 'overrides["base_url"] is none'),
        ("(`--skip-bad` leaves them out)", "(`skip_bad=True` leaves them out)"),
        ("see `mmbench run --limit 3`", "see `mmbench run --limit 3`"),
        ("the file a--b and ---", "the file a--b and ---"),
    ],
)
def test_an_option_is_an_argument_in_python_and_stays_in_a_command(option, argument):
    assert in_python(option) == argument
    assert in_python(argument) == argument
    with on_command_line():
        assert as_called(option) == option


RUN = {"task": "vqa", "model": "majority"}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mmbench.run(**RUN, limit=0), r"^limit= must be at least 1"),
        (lambda: mmbench.run(**RUN, batch_size=0), r"^batch_size= must be at least 1"),
        (lambda: mmbench.run(**RUN, epochs=3), r'overrides=\{"train.epochs": 3\}'),
        (lambda: mmbench.run(**RUN, learning_rate=0.1), r'overrides=\{"train.lr": 0.1\}'),
        (lambda: mmbench.run(**RUN, fusion="gated"), r'overrides=\{"fusion": "gated"\}'),
        (lambda: mmbench.run(**RUN, batchsize=3), r"no such option batchsize=.*mean batch_size="),
        (lambda: mmbench.compare("vqa", ["majority", "x"], epochs=3), r'\{"train.epochs": 3\}'),
        (lambda: mmbench.compare("vqa", ["majority", "x"], seeds=0), r"^seeds= must be at least"),
        (lambda: mmbench.run("vqa", "gated_fusion", seed=3), "with train=True"),
        (lambda: mmbench.report("x", format="html", layout="cost"), 'format="html", leave out lay'),
    ],
)
def test_a_mistake_in_python_is_told_in_python(call, says):
    with pytest.raises(MMBenchError, match=says) as error:
        call()
    assert "--" not in re.sub("`mmbench [^`]*`", "", str(error.value))


def test_the_same_mistake_of_a_command_is_told_as_its_option(mmbench):
    done = mmbench("run", "--task", "vqa", "--model", "majority", "--limit", "0")
    assert (done.returncode, "--limit must be at least 1" in done.stderr) == (2, True)


def test_a_run_in_a_process_of_its_own_is_refused_in_the_words_of_whoever_called(mini, tmp_path):
    models = ["question_only", "image_only"]
    options = {"dataset": mini, "out": tmp_path, "seeds": [7], "jobs": 2, "split": "none"}
    with pytest.raises(MMBenchError) as error:
        mmbench.compare("vqa", models, **options)
    assert "--" not in re.sub("`mmbench [^`]*`", "", str(error.value))


@cache
def named_options():
    """Each option that a message of the package names outside a command, and where."""
    found = {}
    for package in ("mmbench", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "cli" in path.parts:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Raise):
                    for part in ast.walk(node):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            text = _COMMAND.sub("", part.value)
                            for option in re.findall(r"--([a-z][a-z-]+)", text):
                                found.setdefault(option, path.name)
    return found


OF_COMMANDS = {  # raised by what commands alone call
    "all",
    "array",
    "dry-run",
    "help",
    "older-than",
    "output",
    "reads",
    "record",
    "repeats",
    "request",
    "set",
    "width",
    "base-url",
    "prompt",
}


def test_every_option_that_a_message_names_is_an_argument_in_python():
    arguments = {*RunRequest.model_fields, *Study.model_fields}
    for name in mmbench.__all__:
        value = getattr(mmbench, name)
        if inspect.isfunction(value):
            arguments |= set(inspect.signature(value).parameters)
    options = named_options()
    assert len(options) > 20
    for option, file in options.items():
        name = option.removeprefix("no-").replace("-", "_")
        assert option in OF_COMMANDS or name in arguments, f"--{option} of {file}"


def test_what_is_given_without_a_value_is_true_in_python():
    commands = typer.main.get_command(app).commands
    params = [p for command in commands.values() for p in getattr(command, "params", [])]
    flags, others = (
        {o[2:] for p in params if getattr(p, "is_flag", False) is flag for o in p.opts}
        for flag in (True, False)
    )
    flags -= others  # `compare --references` is one, and `score --references FILE` is none
    assert flags >= _FLAGS
    assert {option for option in named_options() if option in flags - OF_COMMANDS} <= _FLAGS

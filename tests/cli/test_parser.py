import pytest
import typer

from mmbench.cli.commands import app
from mmbench.errors import MMBenchError
from mmbench.recipe import parse_overrides


def _commands(group, *names):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *names, name)
        else:
            yield (*names, name), command


COMMANDS = list(_commands(typer.main.get_command(app)))
OPTIONS = [
    pytest.param(names, command, option, id=f"{' '.join(names)} {option.opts[0]}")
    for names, command in COMMANDS
    for option in command.params
    if option.param_type_name == "option"
]


@pytest.mark.parametrize(("names", "command", "option"), OPTIONS)
def test_an_option_of_one_value_given_twice_is_named(names, command, option):
    given = [option.opts[0], *["1"] * (0 if option.is_flag else option.nargs)]
    needed = [
        part
        for other in command.params
        if other.required and other is not option
        for part in ([] if other.param_type_name == "argument" else [other.opts[0]]) + ["1"]
    ]
    if option.is_flag or option.multiple:
        command.make_context(names[-1], [*needed, *given, *given])
        return
    with pytest.raises(Exception, match="given 2 times") as error:
        command.make_context(names[-1], [*needed, *given, *given])
    assert option.opts[0] in error.value.format_message()


def test_options_of_all_kinds_were_tried():
    assert len(COMMANDS) >= 9
    assert len(OPTIONS) > 40


def test_the_mistake_is_one_line(mmbench):
    done = mmbench("run", "--task", "vqa", "--dataset", "a", "--model", "b", "--dataset=c")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--dataset is given 2 times" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_key_of_the_recipe_given_twice_is_named():
    with pytest.raises(MMBenchError, match="width is given twice"):
        parse_overrides(["width=1", "train.epochs=2", "width =3"])


@pytest.mark.parametrize("group", [(), ("data",)])
def test_without_a_command_the_help_is_shown(mmbench, group):
    done = mmbench(*group)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: mmbench")
    assert done.stdout == ""
    assert mmbench(*group, "--help").stdout == done.stderr

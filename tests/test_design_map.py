"""The map in docs/design.md: what it names is there, and what is there it names."""

import re

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^###? (.*)\n((?:(?!^###? ).*\n)*)", TEXT, flags=re.MULTILINE))


def named(section, ending):
    rows = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return {name for row in rows for name in re.findall(rf"`([\w/]+{ending})`", row)}


def test_each_folder_of_code_is_on_the_map():
    there = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        for path in (ROOT / "mmbench").glob("**/*.py")
        if "templates" not in path.parts
    }
    tops = {name for name in named("The map", "/") if name.startswith("mmbench/")}
    minor = {"mmbench/metrics/captions/", "mmbench/metrics/images/", "mmbench/metrics/vqa/"}
    assert tops - {"mmbench/templates/"} == there - minor
    assert all((ROOT / name).is_dir() for name in named("The map", "/"))


@pytest.mark.parametrize("folder", ["mmbench", "mmbench/experiments"])
def test_each_file_at_the_top_is_on_the_map(folder):
    there = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
    assert named(f"The files of `{folder}/`", r"\.py") == there


def test_each_row_of_the_map_is_short():
    sections = ("The map", "The files of `mmbench/`", "The files of `mmbench/experiments/`")
    rows = [row for section in sections for row in SECTIONS[section].splitlines()]
    assert max(map(len, rows)) <= 120

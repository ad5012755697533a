"""docs/a-day.md is what happens: its commands, one after the other, print what it shows."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, environment

PAGE = (ROOT / "docs" / "a-day.md").read_text()
FILES = dict(re.findall(r"```\w+ (\S+\.\w+)\n(.*?)```", PAGE, re.DOTALL))
DEPENDS_ON_THE_MACHINE = ("  found", "  fusion ")  # verdicts: last bits of a training decide them


def steps():
    """Each command of the page, and the lines that it shows below it."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = step.splitlines()
            yield command, shown


def words(line):
    """What of a line is not number, hash or mark."""
    return re.findall(r"(?<![\w.])[A-Za-z_`:]{3,}(?![\w.])", line)


def is_there(shown, real):
    if shown.endswith("..."):
        known = words(shown.removesuffix("..."))
        return any(words(line)[: len(known)] == known for line in real)
    return any(words(line) == words(shown) for line in real)


@pytest.mark.whole
def test_its_commands_print_what_it_shows(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    shims, target = tmp_path / "shims", tmp_path / "installed"
    shims.mkdir()
    code = "from mmbench.cli import main; main()"
    (shims / "mmbench").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    (shims / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (shims / "pip").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip "$@"\n')
    for shim in shims.iterdir():
        shim.chmod(0o755)
    around = environment(target)
    around["PATH"] = f"{shims}{os.pathsep}{around['PATH']}"
    done = 0
    for command, shown in steps():
        command = command.replace(" -e product", f" --target {target} ./product")
        ran = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=around, capture_output=True, text=True
        )
        real = (ran.stdout + ran.stderr).splitlines()
        shown = [line for line in shown if line.strip() != "..."]
        refused = bool(shown) and shown[-1].startswith("mmbench: ") and "begins" not in shown[-1]
        assert ran.returncode == (2 if refused else 0), (command, ran.stderr)
        for line in shown:
            if not line.startswith(DEPENDS_ON_THE_MACHINE):
                assert is_there(line, real), (command, line, ran.stdout, ran.stderr)
        done += 1
    assert done > 15

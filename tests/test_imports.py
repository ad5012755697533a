"""Who may import whom, and what is imported when."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, environment

HEAVY = ("torch", "transformers", "datasets", "evaluate", "torchmetrics", "pandas", "numpy")


def test_the_import_rules_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        *(["list", kind] for kind in ("tasks", "datasets", "models", "metrics")),
        *(["list", kind] for kind in ("fusions", "late_fusions")),
        ["list", "metrics", "--task", "vqa"],
        ["--version"],
    ],
)
def test_help_and_list_import_nothing_heavy(arguments, tmp_path):
    code = (
        "import sys\nfrom mmbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stderr.strip() == "[]"
    assert done.stdout


def test_import_mmbench_imports_nothing_heavy():
    code = f"import sys, mmbench; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"

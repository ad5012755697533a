import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_idle_threads_do_not_spin_unless_the_user_says_so(given, expected):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    code = "import os, sys, mmbench; assert 'torch' not in sys.modules"
    code += "; print(os.environ.get('GOMP_SPINCOUNT'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | given, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == expected


def test_dir_names_what_is_public_before_it_is_imported():
    code = "import sys, mmbench; print(*dir(mmbench)); assert 'pandas' not in sys.modules"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert {"run", "compare", "load_runs", "__version__"} <= set(names)
    assert not [n for n in names if n.startswith("_") and not n.startswith("__")]
    assert "os" not in names

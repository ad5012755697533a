"""Fixtures that every test can use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the checkout (or at $MMBENCH_SHARED); skips where there is none."""
    path = Path(os.environ.get("MMBENCH_SHARED", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs the real data sets, which are not at {path}")
    return path

"""What a release holds."""

import re
import subprocess
import sys
import zipfile

import pytest
import yaml

from tests.conftest import ROOT

FOLDERS = {"mmbench": "mmbench", "tasks": "mmbench_tasks", "baselines": "mmbench_baselines"}


@pytest.mark.whole
def test_the_wheel_has_every_module_and_all_data(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    listed = ["git", "ls-files", *FOLDERS]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for file in files.splitlines():
        folder, _, rest = file.partition("/")
        assert f"{FOLDERS[folder]}/{rest}" in held


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = (ROOT / "pyproject.toml").read_text()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == re.search(r'^version = "(.+)"$', project, re.MULTILINE)[1]
    assert citation["license"] == re.search(r'^license = "(.+)"$', project, re.MULTILINE)[1]
    assert {"message", "title", "authors"} <= set(citation)

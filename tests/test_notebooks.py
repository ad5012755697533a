"""The notebooks of the documentation run, and give what is stored in them."""

import os

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def texts(notebook):
    """What each cell that is tagged `same` gives as text."""
    return [
        [output.get("data", {}).get("text/plain", output.get("text")) for output in cell.outputs]
        for cell in notebook.cells
        if "same" in cell.metadata.get("tags", ())
    ]


@pytest.mark.whole
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_gives_what_it_shows(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    stored = texts(notebook)
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()  # raises what a cell raises
    assert stored
    assert texts(notebook) == stored


def test_they_hold_no_errors_and_no_warnings():
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", ()):
                assert output.output_type != "error"
                assert output.get("name") != "stderr"

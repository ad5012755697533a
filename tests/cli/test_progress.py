"""How progress is shown."""

import nbformat
from nbclient import NotebookClient

from mmbench.cli.progress import TerminalWatch, watch_here
from mmbench.experiments.watch import SILENT
from tests.conftest import ROOT

ENTRY = {"epoch": 1, "loss": 1.5, "validation": 0.25, "samples_per_second": 1000.0}


def lines(capsys, **changes):
    watch = TerminalWatch()
    watch.began("mine", 0)
    watch.started(2, 10, 0)
    watch.finished_epoch(ENTRY | changes)
    return capsys.readouterr().err


def test_a_line_names_what_chooses_the_epoch(capsys):
    assert "validation accuracy 0.2500" in lines(capsys, chosen_by="accuracy")


def test_what_is_better_when_lower_is_shown_as_it_is_called(capsys):
    lower = {"validation": -0.25, "chosen_by": "loss", "lower_is_better": True}
    assert "validation loss 0.2500" in lines(capsys, **lower)


def test_a_state_of_an_earlier_version_names_nothing(capsys):
    assert "validation 0.2500" in lines(capsys)


def test_nothing_is_shown_where_nobody_looks(capsys):
    assert watch_here() is SILENT


IN_A_NOTEBOOK = """
from mmbench.cli.progress import watch_here

watch = watch_here()
watch.began("mine", 0)
watch.started(2, 10, 0)
watch.finished_epoch({entry})
watch.stepped(lambda: 0.5, 64, 5)
""".format(entry=ENTRY | {"chosen_by": "accuracy"})


def test_a_notebook_has_lines_that_change_and_are_gone_at_the_end(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cells = [nbformat.v4.new_code_cell(code) for code in (IN_A_NOTEBOOK, "watch.done()")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        client.execute_cell(cells[0], 0)
        (shown,) = cells[0].outputs
        assert shown["data"]["text/plain"].startswith("mine seed 0 training  ")
        client.execute_cell(cells[1], 1)
        (shown,) = cells[0].outputs
        assert shown["data"]["text/plain"] == ""

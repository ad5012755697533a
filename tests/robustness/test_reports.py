"""Robustness in tables of every format, in a figure, and on the terminal."""

import csv
import io
import re
import sys

import pytest

import mmbench
from mmbench.cli.commands import run_command
from mmbench.errors import MMBenchError
from mmbench.experiments.robustness import robustness_of
from mmbench.experiments.under_damage import Settings
from mmbench.reports.robustness import FORMATS, robustness_tables, robustness_text, tables_of
from mmbench.reports.robustness_figure import robustness_figure, save_robustness_figure
from tests.nasty import NASTY, assert_harmless
from tests.robustness.conftest import WEIGHTS


@pytest.fixture(scope="module")
def compared(shipped):
    return robustness_of(
        {m: [r] for m, r in shipped.items()}, Settings(corruptions=["missing", "typos"])
    )


@pytest.fixture(scope="module")
def hostile(shipped):
    """The same under hostile names."""
    runs = {f"{m}{NASTY}": [r] for m, r in shipped.items()}
    return robustness_of(runs, Settings(corruptions=["missing", "typos"]))


def test_tables_are_of_areas_of_effective_robustness_and_of_inputs(compared):
    areas, effective, inputs = tables_of(compared)
    assert areas.head == ["missing image", "missing text", "typos"]
    assert [model for model, _ in effective.rows] == ["gated_fusion"]
    assert inputs.head == ["accuracy", "image shuffled", "text shuffled", "only this"]
    rows = dict(inputs.rows)
    drop = compared.drops["gated_fusion", "text"]
    assert rows["gated_fusion"][2].value == pytest.approx(-100 * drop.difference)
    assert rows["gated_fusion"][2].low <= rows["gated_fusion"][2].value < 0
    assert rows["question_only"][1] is None
    area = compared.curves["gated_fusion", "missing", "text"].area
    assert dict(areas.rows)["gated_fusion"][1].value == pytest.approx(100 * area.mean)
    assert any("image_only: typos is of text" in note for note in inputs.notes)


def test_tables_are_made_of_records_alone(compared, shipped):
    made = robustness_tables(shipped.values())
    assert len(made) == 3
    own = tables_of(compared)[0]
    for model, numbers in made[0].rows:
        there = dict(zip(made[0].head, numbers, strict=True))
        asked = dict(zip(own.head, dict(own.rows)[model.partition(" ")[0]], strict=True))
        assert {head: there[head] for head in own.head} == asked
    (_, numbers), *_ = made[2].rows
    assert numbers[3] is not None  # the references are found among the records
    with pytest.raises(MMBenchError, match="--robustness"):
        robustness_tables([])


def test_every_format_has_every_number(compared):
    tables = tables_of(compared)
    for name, write in FORMATS.items():
        text = write(tables)
        for table in tables:
            for _, numbers in table.rows:
                for n in filter(None, numbers):
                    shown = repr(n.value) if name == "csv" else f"{n.value:.1f}"
                    shown = shown.replace("-", "$-$") if name == "latex" else shown
                    assert shown in text
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](tables))))
    assert len(rows) == sum(n is not None for t in tables for _, of in t.rows for n in of)
    assert all(float(row["low"]) <= float(row["value"]) for row in rows if row["low"])
    assert FORMATS["latex"](tables).count(r"\begin{tabular}") == len(tables)


def test_hostile_names_break_no_format(hostile):
    tables = tables_of(hostile)
    assert_harmless(robustness_text(hostile))
    markdown = FORMATS["markdown"](tables)
    assert_harmless(markdown)
    heads = [line for line in markdown.splitlines() if line.startswith("| model")]
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == sum(2 + len(table.rows) for table in tables)
    assert len(heads) == len(tables)
    assert "<script>" not in markdown
    latex = FORMATS["latex"](tables)
    assert_harmless(latex)
    assert "\\input{" not in latex
    cells = [cell for row in csv.reader(io.StringIO(FORMATS["csv"](tables))) for cell in row]
    assert not any(cell.startswith("=") for cell in cells)


def test_a_figure_has_a_panel_a_damage_and_a_line_a_model(compared, hostile, tmp_path):
    figure = robustness_figure(compared)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["missing image", "missing text", "typos"]
    assert figure.get_size_inches()[0] == pytest.approx(3.3)
    for axes, reads in zip(panels, (3, 3, 3), strict=True):
        styles = {
            (line.lines[0].get_marker(), str(line.lines[0].get_linestyle()))
            for line in axes.containers
        }
        assert len(styles) == len(axes.containers) == reads
    curve = compared.curves["gated_fusion", "missing", "image"]
    (drawn,) = [c for c in panels[0].containers if c.get_label() == "gated_fusion"]
    expected = [100 * point.mean for point in curve.points]
    assert drawn.lines[0].get_ydata().tolist() == pytest.approx(expected)
    for name, found in (("a.pdf", compared), ("a.png", hostile)):
        save_robustness_figure(found, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000
    with pytest.raises(MMBenchError, match="no curve"):
        robustness_figure(compared, ["majority"])


def test_run_prints_it(mmbench, mini_folder):
    done = mmbench(
        *("run", "--task", "vqa", "--dataset", str(mini_folder / "mini.yaml"), "--robustness"),
        *("--model", "gated_fusion", "--checkpoint", str(WEIGHTS), "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    for words in ("missing image", "typos", "text shuffled", "Not run: sound_noise"):
        assert words in done.stdout
    assert done.stderr == ""
    assert re.search(r"accuracy +\d", done.stdout)


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        ("majority", ["--robustness"], "majority has no weights"),
        ("gated_fusion", ["--robustness", "--corruptions", "typo"], "Did you mean typos"),
        ("gated_fusion", ["--robustness", "--corruptions", "sound_noise"], "is of audio"),
        ("gated_fusion", ["--corruptions", "typos"], "--robustness"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(
    model, options, why, tmp_path, monkeypatch, capsys
):
    command = ["mmbench", "run", "--task", "vqa", "--train", "--model", model, *options]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path / "results")])
    with pytest.raises(SystemExit) as ended:
        run_command()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert why in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_compare_prints_it_for_each_of_its_models(mmbench, mini_folder):
    mini = str(mini_folder / "mini.yaml")
    done = mmbench(
        *("compare", "--task", "vqa", "--dataset", mini, "--seeds", "1", "--quiet"),
        *("--models", "concat_fusion,question_only,image_only", "--set", "width=8"),
        *("--set", "train.epochs=1", "--robustness", "--corruptions", "missing,words_dropped"),
    )
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("area (relative)")[2]
    for model in ("concat_fusion", "question_only", "image_only"):
        assert model in table
    assert "words dropped" in table
    assert "typos" not in table
    assert "none of image_only, question_only does" in table


def test_robustness_is_public():
    assert mmbench.robustness is not None
    assert "robustness" in mmbench.__all__

"""Robustness in tables of every format, in a figure, and on the terminal."""

import csv
import dataclasses
import io
import json
import re
import shutil
import sys

import pytest
from matplotlib.figure import Figure

import mmbench
from mmbench.cli.commands import run_command
from mmbench.errors import MMBenchError
from mmbench.experiments.robustness import robustness_of
from mmbench.experiments.under_damage import Settings
from mmbench.records.arrays_file import packed, unpacked
from mmbench.records.robustness_file import ROBUSTNESS_FILE
from mmbench.reports.beside import Beside
from mmbench.reports.checklist import checklist
from mmbench.reports.data_formats import as_csv, as_json
from mmbench.reports.document import Document
from mmbench.reports.figures.robustness import robustness_curves
from mmbench.reports.formats import FORMATS
from mmbench.reports.layouts.options import Options
from mmbench.reports.layouts.robustness import RobustnessSheets
from mmbench.reports.report import make_report
from mmbench.reports.robustness import robustness_text
from mmbench.reports.table import make_tables
from tests.nasty import NASTY, assert_harmless
from tests.reports.written import compile_latex
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


def sheets_of(found, **options):
    made = RobustnessSheets(found, Options(spread="interval", **options)).sheets()
    return {sheet.title.partition(": ")[2]: sheet for sheet in made}


def rows_of(sheet):
    return {line.label: line.shown for line in sheet.lines}


def heads_of(sheet):
    return [" ".join([*head.groups, head.title]) for head in sheet.heads]


def test_tables_are_of_areas_of_robustness_and_of_inputs(compared):
    areas, relative, effective, inputs = sheets_of(compared).values()
    assert heads_of(areas) == ["Image Missing", "Text Missing", "Text Typos"]
    assert [line.label for line in effective.lines] == ["gated_fusion"]
    assert set(rows_of(relative)) == {"gated_fusion", "concat_fusion"}
    assert heads_of(inputs) == ["Accuracy", "Shuffled Image", "Shuffled Text", "Only it"]
    rows = rows_of(inputs)
    drop = compared.drops["gated_fusion", "text"]
    shown = rows["gated_fusion"][2]
    assert shown.mean == pytest.approx(-drop.difference)
    assert shown.low <= shown.mean < 0
    assert rows["question_only"][1] is None
    area = compared.curves["gated_fusion", "missing", "text"].area
    assert rows_of(areas)["gated_fusion"][1].mean == pytest.approx(area.mean)
    texts = [shown[1] for shown in rows_of(areas).values() if shown[1]]
    assert max(texts, key=lambda n: n.mean).best
    assert any("image_only: typos is of text" in remark for remark in inputs.remarks)


def test_the_layout_is_made_of_records_alone(compared, shipped, tmp_path):
    made = make_report([run.path for run in shipped.values()], "csv", layout="robustness")
    assert made.left_out == []
    found = {
        (row["model"].partition(" ")[0], row["corruption"], row["modality"]): float(row["mean"])
        for row in csv.DictReader(io.StringIO(made))
        if row["quantity"] == "area under the curve"
    }
    for key, curve in compared.curves.items():
        assert found[key] == pytest.approx(curve.area.mean)
    only = [row for row in csv.DictReader(io.StringIO(made)) if "only it" in row["quantity"]]
    assert only  # the references are found among the records


def test_without_robustness_the_layout_says_how_it_is_made(shipped, tmp_path):
    shutil.copytree(shipped["gated_fusion"].path, tmp_path / "seed-0")
    (tmp_path / "seed-0" / ROBUSTNESS_FILE).unlink(missing_ok=True)
    with pytest.raises(MMBenchError, match="mmbench compare --robustness"):
        make_report(tmp_path, layout="robustness")


def test_the_checklist_says_who_was_asked_without_a_modality(compared, shipped, tmp_path):
    def answer(runs):
        tables = make_tables(runs)
        points = {a.point: a for a in checklist(tables, 1, Beside(tables, []))}
        return points["missing modalities evaluated"]

    assert answer(shipped.values()).answer == "yes"
    assert "image and text missing, of 2 of 2 models" in answer(shipped.values()).found
    shutil.copytree(shipped["concat_fusion"].path, tmp_path / "seed-0")
    (tmp_path / "seed-0" / ROBUSTNESS_FILE).unlink()
    never = dataclasses.replace(shipped["concat_fusion"], path=tmp_path / "seed-0")
    assert answer([shipped["gated_fusion"], never]).answer == "in part"
    assert answer([never]).answer == "not recorded"


def test_an_edited_file_is_named_and_the_others_are_shown(compared, shipped, tmp_path):
    for model in ("gated_fusion", "concat_fusion"):
        shutil.copytree(shipped[model].path, tmp_path / model / "seed-0")
    edited = tmp_path / "gated_fusion" / "seed-0" / ROBUSTNESS_FILE
    arrays, about = unpacked(edited)
    first = next(iter(arrays))
    edited.write_bytes(packed(arrays | {first: arrays[first] + 1}, about))
    made = make_report(tmp_path, layout="robustness")
    assert len(made.left_out) == 1
    assert str(edited) in made.left_out[0]
    assert "| Concatenation" in made
    assert "| Gated" not in made
    assert "Not asked: Gated" in made
    assert make_report(tmp_path).left_out == []  # nobody looked


def document(found):
    return Document("draft", list(sheets_of(found).values()), [], [])


def test_every_format_has_every_number(compared):
    sheets = sheets_of(compared).values()
    numbers = [n for sheet in sheets for line in sheet.lines for n in line.shown if n]
    for name in ("markdown", "latex"):
        text = FORMATS[name].write(document(compared))
        for number in numbers:
            assert number.shown in text
    rows = list(csv.DictReader(io.StringIO(as_csv(document(compared)))))
    assert [float(row["mean"]) for row in rows] == [n.mean for n in numbers]
    tables = json.loads(as_json(document(compared)))["tables"]
    assert [c["quantity"] for c in tables[1]["columns"]] == ["relative robustness"] * 3


def test_hostile_names_break_no_format(hostile):
    assert_harmless(robustness_text(hostile))
    markdown = FORMATS["markdown"].write(document(hostile))
    assert_harmless(markdown)
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) == sum(2 + len(sheet.lines) for sheet in sheets_of(hostile).values())
    assert "<script>" not in markdown
    latex = FORMATS["latex"].write(document(hostile))
    assert_harmless(latex)
    assert "\\input{" not in latex
    cells = [cell for row in csv.reader(io.StringIO(as_csv(document(hostile)))) for cell in row]
    assert not any(cell.startswith("=") for cell in cells)
    assert "<script>" not in hostile._repr_html_()


def test_latex_sets_it_without_a_box_that_is_too_wide(compared, hostile, tmp_path):
    assert "Overfull" not in compile_latex(FORMATS["latex"].write(document(compared)), tmp_path)
    compile_latex(FORMATS["latex"].write(document(hostile)), tmp_path)


def test_a_figure_has_a_panel_a_damage_and_a_line_a_model(compared, shipped):
    (each,) = Beside(make_tables(shipped.values()), []).comparisons
    figure = robustness_curves(each).figure
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}
    assert {"missing image", "missing text", "typos"} <= set(panels)
    assert figure.get_size_inches()[0] == pytest.approx(3.3)
    for axes in panels.values():
        looks = {(c.lines[0].get_marker(), c.lines[0].get_color()) for c in axes.containers}
        assert len(looks) == len(axes.containers)
    curve = compared.curves["gated_fusion", "missing", "image"]
    lines = {c.get_label().partition(" ")[0]: c for c in panels["missing image"].containers}
    assert set(lines) == {"Gated", "Concatenation", "Image"}
    expected = [100 * point.mean for point in curve.points]
    assert lines["Gated"].lines[0].get_ydata().tolist() == pytest.approx(expected)


def test_a_notebook_draws_one_damage(compared, hostile):
    axes = compared.plot(Figure().subplots(), corruption="typos")
    assert axes.get_title() == "typos"
    assert len(axes.containers) == 3
    hostile.plot(Figure().subplots()).figure.canvas.draw()
    with pytest.raises(MMBenchError, match="typos of text"):
        compared.plot(Figure().subplots(), corruption="typos", modality="image")
    assert "\n" not in repr(compared)
    assert str(compared) == robustness_text(compared)


@pytest.mark.whole
def test_run_prints_it(mmbench, mini_folder):
    done = mmbench(
        *("run", "--task", "vqa", "--dataset", str(mini_folder / "mini.yaml"), "--robustness"),
        *("--model", "gated_fusion", "--checkpoint", str(WEIGHTS), "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    for words in ("image missing", "typos", "shuffled text", "Not run: sound_noise"):
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


@pytest.mark.whole
def test_compare_prints_it_for_each_of_its_models(mmbench, mini_folder):
    mini = str(mini_folder / "mini.yaml")
    done = mmbench(
        *("compare", "--task", "vqa", "--dataset", mini, "--seeds", "1", "--quiet"),
        *("--models", "concat_fusion,question_only,image_only", "--set", "width=8"),
        *("--set", "train.epochs=1", "--robustness", "--corruptions", "missing,words_dropped"),
    )
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("area under the curve")[2]
    for model in ("concat_fusion", "question_only", "image_only"):
        assert model in table
    assert "words dropped" in table
    assert "typos" not in table
    assert "none of Image only and Question only does" in table


def test_robustness_is_public():
    assert mmbench.robustness is not None
    assert "robustness" in mmbench.__all__

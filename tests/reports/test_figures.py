import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from mmbench.errors import MMBenchError
from mmbench.reports.figures import draw, write
from mmbench.reports.figures.intervals import comparison
from mmbench.reports.figures.ranks import critical_differences
from mmbench.reports.figures.style import COLOURS, WIDTH, new_figure, paper_style, save, series
from mmbench.reports.layouts.options import Options
from mmbench.reports.pareto import frontier
from mmbench.reports.report import make_report
from mmbench.reports.table import make_tables
from mmbench.statistics.ranks import FEWEST, rank_models
from tests.nasty import NASTY
from tests.reports.reference import REFERENCE, altered, reference_runs, reference_tables


@pytest.fixture(scope="module")
def drawn():
    made, notes = draw(reference_tables("vqa", "interactions"), Options())
    return {d.name.partition("-")[0]: d for d in made}, notes


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def several(count, models=("gated_fusion", "concat_fusion", "attention_fusion", "question_only")):
    runs = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model in models]
    return make_tables([altered(r, dataset=f"data_{at}") for at in range(count) for r in runs])


def test_there_is_a_figure_of_each_kind_that_there_are_numbers_for(drawn):
    found, notes = drawn
    assert set(found) == {"comparison", "kinds", "training", "pareto"}
    assert "at least 6" in notes[0]


def test_every_figure_is_as_wide_as_a_column_and_names_its_models(drawn):
    for name, made in drawn[0].items():
        assert made.figure.get_figwidth() == WIDTH
        assert any("Gated" in text for text in texts(made.figure)), name
        assert "Interactions" in made.caption


def test_the_kinds_of_interaction_show_the_records_values(drawn):
    shown = texts(drawn[0]["kinds"].figure)
    assert {"Redundant", "Synergy", "Unique\naudio", "Unique\nimage"} <= set(shown)
    run = next(r for r in reference_runs("vqa", "interactions") if r.record.model == "film_fusion")
    synergy = next(e.value for e in run.record.metrics if e.category == "synergy")
    assert f"{100 * synergy:.1f}" in shown


def test_letters_stay_text_in_a_pdf_and_the_same_records_give_the_same_bytes(drawn, tmp_path):
    made = drawn[0]["comparison"]
    pdf, png = save(made, tmp_path)
    first = pdf.read_bytes(), png.read_bytes()
    assert b"/Type42" not in first[0] or b"FontFile2" in first[0]
    assert b"/Subtype /Type3" not in first[0]
    save(comparison(reference_tables("vqa", "interactions")[0], Options()), tmp_path)
    assert (pdf.read_bytes(), png.read_bytes()) == first
    with Image.open(png) as image:
        assert image.width == pytest.approx(WIDTH * 300, abs=2)


def test_series_differ_in_more_than_colour():
    looks = [series(number) for number in range(28)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in looks}) == 28
    grey = [np.dot([int(c[i : i + 2], 16) for i in (1, 3, 5)], (0.3, 0.59, 0.11)) for c in COLOURS]
    assert min(abs(a - b) for a, b in pairwise(grey)) > 15


def test_the_frontier_is_of_what_no_other_beats():
    assert frontier([(1, 1), (1, 2), (2, 2), (3, 5), (2, 4)]) == [1, 4, 3]


def test_ranks_need_six_datasets():
    made, why = critical_differences(several(FEWEST - 1), Options())
    assert made is None
    assert f"at least {FEWEST}" in why
    made, why = critical_differences(several(FEWEST), Options())
    assert why == ""
    assert f"{FEWEST} datasets" in made.caption
    assert "Nemenyi" in made.caption
    assert any("Gated" in text for text in texts(made.figure))


def test_ranks_are_those_of_the_statistics():
    tables = several(FEWEST)
    values = {
        t.columns[0].dataset: {r.label: r.cells[t.columns[0]].mean for r in t.rows} for t in tables
    }
    ranks = rank_models(values, dict.fromkeys(values, True))
    made, _ = critical_differences(tables, Options())
    assert f"critical difference {ranks.critical_difference:.2f}" in made.caption
    shown = " ".join(texts(made.figure))
    for average in ranks.average:
        assert f"({average:.2g})" in shown


def test_ranks_need_three_models_on_all_datasets():
    made, why = critical_differences(several(FEWEST, ("gated_fusion", "question_only")), Options())
    assert made is None
    assert "it takes three" in why


def test_hostile_names_are_drawn_as_they_are(tmp_path):
    runs = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model != "majority"]
    names = {name: NASTY + name for name in {r.record.model for r in runs}}
    renamed = [altered(r, model=names[r.record.model], dataset=NASTY) for r in runs]
    made, _ = draw(make_tables(renamed), Options())
    pictures = write(made, tmp_path / "figures")
    assert len(pictures) > 2
    for picture in pictures:
        assert picture.pdf.parent == tmp_path / "figures"
        assert re.fullmatch(r"[\w.-]+", picture.name)


def test_one_model_alone_has_no_comparison_but_its_training():
    one = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model == "gated_fusion"]
    made, _ = draw(make_tables(one), Options())
    assert [d.name.partition("-")[0] for d in made] == ["training"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MMBenchError, match="file"):
        make_report(REFERENCE / "vqa" / "easy_vqa", figures=tmp_path / "file" / "figures")


def test_drawing_leaves_a_callers_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with paper_style():
        new_figure(1.0)
    assert dict(matplotlib.rcParams) == before

import re

import pytest

from mmbench.reports.latex_table import latex_tables
from mmbench.reports.latex_width import breakable, width
from mmbench.reports.report import make_report
from mmbench.reports.sheet import Head, Line, Number, Sheet
from tests.reports.reference import REFERENCE, reference_tables
from tests.reports.written import compile_latex, written


def sheet(columns=3, lines=3, groups=(), title="Model {}", spread="interval", head="Metric {}"):
    def number(at):
        return Number(mean=0.5 + at / 1000, low=0.4, high=0.6, scale=100.0, decimals=1)

    return Sheet(
        name="main-vqa",
        title="A title",
        caption="What it is.",
        heads=[Head(head.format(at), groups[at : at + 1]) for at in range(columns)],
        lines=[
            Line(title.format(at), f"m{at}", [number(c) for c in range(columns)])
            for at in range(lines)
        ],
        spread=spread,
    )


def environments(text):
    return re.findall(r"\\begin\{((?:sideways)?table\*?)\}", text)


@pytest.mark.parametrize(
    ("layout", "style"),
    [("main", "paper"), ("main", "draft"), ("cost", "paper"), ("categories", "paper")],
)
def test_every_layout_of_the_reference_records_compiles_and_nothing_runs_off_the_page(
    layout, style, tmp_path
):
    tables = reference_tables() if layout == "main" else reference_tables("vqa")
    log = compile_latex(written("latex", tables, style=style, layout=layout), tmp_path)
    assert "Overfull" not in log
    assert "Float too large" not in log
    assert "undefined" not in log


def test_the_whole_report_compiles_with_methods_and_figures(tmp_path):
    made = make_report(
        *(REFERENCE / "vqa" / "easy_vqa", "latex"), methods=True, figures=tmp_path / "figures"
    )
    assert r"\includegraphics" in made.text
    log = compile_latex(made.text, tmp_path)
    assert "Overfull" not in log
    assert "undefined" not in log


def test_numbers_stand_in_columns_of_siunitx_with_rules_under_groups():
    text = written("latex", reference_tables("retrieval", "scenes_video"), style="paper")
    assert "S[table-format=2.1" in text
    assert r"\multicolumn{6}{c}{Text-to-video}" in text
    assert r"\cmidrule(lr){2-7}" in text
    assert r"\bfseries" in text
    assert r"\underline" in text


def test_no_internal_name_stands_in_a_papers_tables():
    found = [t for part in ("retrieval", "vqa", "captioning") for t in reference_tables(part)]
    text = written("latex", found, style="paper")
    tables = text.partition(r"\label{tab:signatures}")[0]
    shown = re.sub(r"\\label\{[^}]*\}", "", tables)
    for name in ("recall", "fusion", r"bleu\_4", "cider", r"easy\_vqa"):
        assert name not in shown


def test_signatures_stand_once_in_one_table():
    text = written("latex", reference_tables("vqa"), style="paper")
    assert text.count("match:") == 1
    assert text.count(r"\label{tab:signatures}") == 1


def test_what_fits_stands_in_one_table_of_a_column():
    assert environments(latex_tables(sheet(2), False)) == ["table"]


def test_what_is_wider_stands_in_panels_of_one_table():
    text = latex_tables(sheet(9), False)
    assert environments(text) == ["table*"]
    assert text.count(r"\begin{tabular}") > 1
    assert text.count(r"\caption{") == 1
    assert all(f"Metric {at}" in text for at in range(9))


def test_panels_keep_together_what_stands_under_one_head():
    groups = tuple((name,) for name in "AAABBB")
    made = sheet(6)
    heads = [Head(head.title, group) for head, group in zip(made.heads, groups, strict=True)]
    text = latex_tables(Sheet(made.name, "", "", heads, made.lines, spread="interval"), False)
    tabulars = text.split(r"\begin{tabular}")[1:]
    assert [re.findall(r"\{([AB])\}", t) for t in tabulars] == [["A"], ["B"]]


def test_what_no_page_takes_upright_is_turned():
    text = latex_tables(sheet(6, lines=20), False)
    assert environments(text) == ["sidewaystable*"]
    assert text.count(r"\begin{tabular}") == 1


def test_what_no_page_takes_at_all_goes_on_in_further_tables():
    text = latex_tables(sheet(2, lines=100), False)
    assert len(environments(text)) == 3
    assert text.count("Continuation of Table~\\ref{tab:main-vqa}") == 2
    assert all(f"Model {at} &" in text for at in range(100))
    wide = latex_tables(sheet(20, lines=30), False)
    assert "sideways" not in wide
    assert len(environments(wide)) > 3


def test_no_made_up_table_runs_off_the_page(tmp_path):
    tables = [
        made
        for columns in (1, 2, 3, 4, 6, 9, 14)
        for made in (
            sheet(columns),
            sheet(columns, lines=40),
            sheet(columns, title="A model with a rather long name, and more of it {}"),
            sheet(columns, title="a" * 80),
            sheet(columns, head="A metric with a very long name {}"),
            sheet(columns, spread="none", head="R@{}"),
        )
    ]
    text = "\n\\clearpage\n".join(latex_tables(table, True) for table in tables)
    assert "Overfull" not in compile_latex(text, tmp_path, passes=1)


def test_remarks_end_the_caption_or_stand_below():
    made = sheet()
    made = Sheet(made.name, "", "What.", made.heads, made.lines, remarks=["A & b."])
    assert r"\caption{What. A \& b.}" in latex_tables(made, remarks_below=False)
    below = latex_tables(made, remarks_below=True)
    assert r"\caption{What.}" in below
    assert r"A \& b.\par" in below


def test_wider_texts_are_estimated_wider():
    assert width("iiii", r"\small") < width("nnnn", r"\small") < width("MMMM", r"\small")
    assert width("n", r"\footnotesize") < width("n", r"\small") < width("n", r"\small", bold=True)


def test_breaks_stand_in_no_number_and_no_command():
    assert breakable("1,536 of 0.125") == "1,536 of 0.125"
    assert breakable(r"\textbackslash{}x") == r"\textbackslash{}x"
    assert breakable("x" * 50).count(r"\allowbreak{}") == 2

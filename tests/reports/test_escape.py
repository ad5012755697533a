import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt

import mmbench
from mmbench.experiments.result import RunResult
from mmbench.reports.escape import (
    for_csv,
    for_latex,
    for_markdown,
    for_markdown_code,
    for_terminal,
    one_line,
)
from mmbench.reports.table import make_tables
from tests.nasty import NASTY, assert_harmless
from tests.reports.written import compile_latex, written


@pytest.fixture
def run(mini, tmp_path):
    return mmbench.run("vqa", "majority", dataset=mini, out=tmp_path)


@pytest.fixture
def record(run):
    return run.record


@pytest.fixture
def tables(run):
    """Makes those of records whose files are the run's."""
    return lambda *records: make_tables([RunResult(r, run.path, reused=True) for r in records])


@pytest.fixture
def nasty_records(record):
    """A record whose every text is hostile, and one of another model."""
    metric = record.primary.model_copy(update={"name": NASTY, "signature": NASTY})
    texts = dict.fromkeys(("task", "dataset", "split", "fingerprint", "model"), NASTY)
    bad = record.model_copy(update=texts | {"metrics": [metric], "overrides": {NASTY: NASTY}})
    return [bad, bad.model_copy(update={"model": "plain"})]


def markdown_tree(text):
    return MarkdownIt("commonmark").enable("table").parse(text)


def texts(token):
    return "".join(child.content for child in token.children)


@pytest.mark.parametrize("escape", [one_line, for_markdown, for_markdown_code, for_latex, for_csv])
def test_no_format_lets_a_text_break_or_steer_a_line(escape):
    assert_harmless(escape(NASTY))
    assert "\n" not in escape(NASTY)
    assert not escape("\x00\x7f\ud800\u2066\u200f\ufeff").isspace()
    assert_harmless(escape("\x00\x7f\ud800\u2066\u200f\ufeff"))


@pytest.mark.parametrize(
    "text", ["gated_fusion", "a b", "50 %", "naïve", "日本語", "می‌خواهم", "👩‍🚀"]
)
def test_ordinary_text_is_left_as_it_is(text):
    assert one_line(text) == for_markdown(text) == for_csv(text) == text


def test_the_terminal_keeps_our_line_breaks_and_json_its_values():
    value = {"model": NASTY, "notes": ["a\tb", "\U000e0001", "é"]}
    for encoding in ("utf-8", "ascii", "cp1252"):
        shown = for_terminal(json.dumps(value, indent=1, ensure_ascii=False), encoding)
        assert json.loads(shown) == value
        assert shown.count("\n") == 7
        assert_harmless(shown)
        shown.encode(encoding)


@pytest.mark.parametrize(
    "text", [NASTY, "a|b", "\\|", "\\", "`", "``x`", "_x_", "a__b", "*x*", "<b>", "&amp;", "[x](y)"]
)
def test_markdown_shows_the_text_itself(text):
    cell, code = for_markdown(text), for_markdown_code(text)
    html = MarkdownIt("commonmark").enable("table").render(f"| a | b |\n|-|-|\n| {cell} | 2 |")
    assert html.count("<td>") == 2
    rows = [t for t in markdown_tree(f"| a | b |\n|-|-|\n| {cell} | 2 |") if t.type == "inline"]
    assert texts(rows[2]) == one_line(text)
    assert {child.type for child in rows[2].children} <= {"text", "text_special"}
    quoted = next(t for t in markdown_tree(f"- {code}") if t.type == "inline")
    assert texts(quoted) == one_line(text)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝", "\t=", "+-"])
def test_a_spreadsheet_runs_no_cell(start):
    assert for_csv(f"{start}cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize("number", [-1.5, 3, "-1.5", "+2", "-1e-05", "12", "-.5"])
def test_numbers_stay_numbers_in_csv(number):
    assert for_csv(number) == number


def test_hostile_names_break_no_markdown_table(tables, nasty_records):
    text = written("markdown", tables(*nasty_records))
    assert_harmless(text)
    assert "<" not in text
    tokens = markdown_tree(text)
    assert [t.type for t in tokens].count("tr_open") == 3
    assert [t.type for t in tokens].count("td_open") == 8
    assert [t.type for t in tokens].count("heading_open") == 2
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}


def test_hostile_names_break_no_csv(tables, nasty_records):
    text = written("csv", tables(*nasty_records))
    assert_harmless(text)
    head, *rows = csv.reader(io.StringIO(text))
    assert len(rows) == 2
    for row in rows:
        assert len(row) == len(head)
        assert [cell for cell in row if cell[:1] in tuple("=+-@\t\r")] == []


def test_hostile_names_break_no_latex(tables, nasty_records):
    text = written("latex", tables(*nasty_records))
    assert_harmless(text)
    assert "\\input" not in text
    assert re.findall(r"(?<!\\)[$#^~]", text.replace(r"$\pm$", "")) == []
    bodies = re.findall(
        r"\\midrule\n(.*?)\n\\bottomrule", text.partition("tab:signatures")[0], re.S
    )
    assert bodies
    for rows in (body.splitlines() for body in bodies):
        assert len(rows) == 2
        assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


def test_hostile_names_compile(tables, nasty_records, tmp_path):
    compile_latex(written("latex", tables(*nasty_records)), tmp_path)


def test_latex_takes_any_text_at_the_start_of_a_row(tables, record, tmp_path):
    texts = ["[x]", "*", "?`", "--", "a\\", "%", "x^2_3", '"', "\xa0¬§µ×", "x" * 90, "a_b" * 30]
    others = [record.model_copy(update={"model": text}) for text in texts]
    log = compile_latex(written("latex", tables(record, *others)), tmp_path)
    assert "Overfull" not in log


def test_latex_says_when_it_needs_more_than_pdflatex(tables, record):
    assert "LuaLaTeX" not in written("latex", tables(record))
    foreign = record.model_copy(update={"model": "模型"})
    assert "% has letters beyond Latin-1" in written("latex", tables(foreign))

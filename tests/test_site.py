"""What must be on the documentation's pages, and that a broken site is found broken."""

import re

import pytest

import mmbench
from docs.make_site import problems
from tests.conftest import ROOT

HOME = (ROOT / "docs" / "README.md").read_text()


def test_the_first_page_leads_to_every_page():
    linked = set(re.findall(r"\]\(([^)]+)\)", HOME))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    notebooks = {f"notebooks/{path.name}" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    made_into_others = {page for page in pages if page.endswith("_source.md")}
    assert linked >= (pages | notebooks) - made_into_others - {"README.md"}


def test_every_public_name_is_on_the_page_of_python():
    page = (ROOT / "docs" / "api.md").read_text()
    missing = [n for n in mmbench.__all__ if not re.search(rf"auto\w+:: mmbench\.{n}\n", page)]
    assert missing == []


@pytest.mark.parametrize(
    ("inside", "wrong"),
    [
        ('<a href="other.html#there">', None),
        ('<a href="#here">', None),
        ('<a href="https://example.org/paper">', None),
        ('<img src="data:image/png;base64,AAAA">', None),
        ('<a href="nowhere.html">', "is not there"),
        ('<a href="other.html#nowhere">', "no such anchor"),
        ('<a href="#nowhere">', "no such anchor"),
        ('<img src="nowhere.png">', "is not there"),
        ('<script src="https://example.org/x.js"></script>', "fetches"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "fetches"),
    ],
)
def test_what_leads_nowhere_or_fetches_is_found(inside, wrong, tmp_path):
    (tmp_path / "page.html").write_text(f'<p id="here">{inside}')
    (tmp_path / "other.html").write_text('<p id="there">')
    found = problems(tmp_path)
    assert found == [] if wrong is None else wrong in found[0]


def test_a_font_from_elsewhere_is_found(tmp_path):
    (tmp_path / "site.css").write_text("@font-face { src: url(https://example.org/a.woff2) }")
    assert "fetches" in problems(tmp_path)[0]

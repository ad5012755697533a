"""Writes docs/training.md: docs/training_source.md, and in it the settings as their source says.

python docs/make_training.py
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from mmbench.cli.training_settings import Section, sections

FOLDER = Path(__file__).parent
PAGE = FOLDER / "training.md"
SOURCE = FOLDER / "training_source.md"  # written by hand


def page() -> str:
    """The page's text."""
    tables = "\n".join(map(_table, sections()))
    return Template(SOURCE.read_text(encoding="utf-8")).substitute(tables=tables)


def _table(section: Section) -> str:
    with_defaults = any(row.default for row in section.rows)
    title = f"`{section.title}`" if with_defaults else section.title.capitalize()
    head = "| key | default | |\n| --- | --- | --- |" if with_defaults else "| | |\n| --- | --- |"
    lines = [f"## {title}", ""]
    lines += [section.about, ""] if section.about else []
    lines.append(head)
    for row in section.rows:
        cells = [f"`{row.key}`", f"`{row.default}`"] if with_defaults else [row.key]
        lines.append(f"| {' | '.join([*cells, row.about])} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Reports as text, and compiled, for tests."""

import shutil
import subprocess

import pytest

from mmbench.reports.document import Document, data_of, signature_marks, signatures_of
from mmbench.reports.formats import FORMATS
from mmbench.reports.layouts import LAYOUTS
from mmbench.reports.layouts.options import Options

PACKAGES = "booktabs,siunitx,rotating,graphicx"


def written(format, tables, style="draft", layout="main", **options):
    """The tables' numbers in a format."""
    level = FORMATS[format].level
    marks = signature_marks(tables)
    sheets = LAYOUTS[layout](tables, Options(style=style, level=level, marks=marks, **options))
    document = Document(style, sheets, signatures_of(tables, marks), data_of(tables))
    return FORMATS[format].write(document)


def compile_latex(text, folder, passes=2):
    """What LaTeX says when it sets the text as a paper would; skips where there is none."""
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("needs pdflatex")
    for package in PACKAGES.split(","):
        found = subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True)
        if found.returncode:
            pytest.skip(f"needs LaTeX's {package}")
    document = rf"\documentclass{{article}}\usepackage{{{PACKAGES}}}\begin{{document}}"
    (folder / "paper.tex").write_text(
        f"{document}\nText.\n{text}\n\\end{{document}}", encoding="utf-8"
    )
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for _ in range(passes):  # references are right the second time
        done = subprocess.run(command, cwd=folder, capture_output=True)
    log = done.stdout.decode("latin-1")
    assert done.returncode == 0, log[-2000:]
    return log

"""The reference study: runs of its study files that lack a record, then its whole report.

    python benchmarks/study.py [FOLDER]

FOLDER (`results/study`) holds the study files. What has a record is reused, so that
the report is made anew on any machine; runs that are new need the device that the files name.
Written into `FOLDER/report/`: what each study found (`NAME.txt`), all tables in Markdown with
methods and checklist, the same in LaTeX (compiled where there is a `pdflatex`), figures as PDF, and
a page with a browser of samples.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from mmbench.experiments.study import run_study
from mmbench.reports.output import write_output
from mmbench.reports.report import make_report
from mmbench.reports.study import study_result_text
from mmbench.study import read_study

SHOWN = 1_000  # samples of each set in the page
PAPER = (
    r"\documentclass[10pt,twocolumn]{article}\usepackage[a4paper,margin=2cm]{geometry}"
    r"\usepackage{booktabs,siunitx,graphicx,array,url}\begin{document}\input{report}\end{document}"
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/study"))
    folder = parser.parse_args().folder
    report = folder / "report"
    report.mkdir(exist_ok=True)
    for file in sorted(folder.glob("*.yaml")):
        result = run_study(read_study(file, out=folder), notice=print)
        write_output(report / f"{file.stem}.txt", study_result_text(result) + "\n")
        print(f"{file.stem}: {result.family.verdict}")
    write(folder, report)


def write(folder: Path, report: Path) -> None:
    """The report of all records below the folder, in every format."""
    records = folder.resolve()
    before = Path.cwd()
    os.chdir(report)  # the LaTeX file names its figures as they lie beside it
    try:
        figures = Path("figures")
        made = {
            "report.md": make_report(records, methods=True, figures=figures),
            "report.tex": make_report(records, "latex", methods=True, figures=figures),
            "report.html": make_report(records, "html", samples=SHOWN),
        }
        for name, text in made.items():
            write_output(Path(name), text.text)
            print(*text.notes, *text.left_out, sep="\n")
        for image in figures.glob("*.png"):  # for screens; the page draws its own
            image.unlink()
        if shutil.which("pdflatex"):
            compile_pdf()
    finally:
        os.chdir(before)


def compile_pdf() -> None:
    """`report.pdf` of the current folder's `report.tex`."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["pdflatex", "-halt-on-error", f"-output-directory={folder}", "-jobname=report"]
        for _ in range(2):  # references settle in the second pass
            subprocess.run([*command, PAPER], check=True, stdout=subprocess.DEVNULL)
        shutil.copy(Path(folder, "report.pdf"), "report.pdf")


if __name__ == "__main__":
    main()

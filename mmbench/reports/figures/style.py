"""How figures look: one column of a paper wide, small type, and read in grey as in colour.

Series differ in marker and dash as well as colour. Figures are made without pyplot, so that
drawing one changes nothing for whoever calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 3.3  # inches, of one column
DOTS = 300  # an inch, of the PNG
GREY = "0.55"
DARK = "0.15"
# Okabe and Ito's colours without the yellow, dark and light in turn, so that neighbours differ in
# grey too
COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#009E73", "#CC79A7", "#D55E00")
MARKERS = "osD^vPX"
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # letters stay text: some publishers refuse others
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with a dollar sign is no formula
}


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        name: for files and labels.
        caption: what it shows, in sentences.
        figure: of matplotlib.
    """

    name: str
    caption: str
    figure: Figure


@contextmanager
def paper_style() -> Iterator[None]:
    """Within it, what is drawn looks as a paper's figures do."""
    from matplotlib import rc_context

    settings: Any = _SETTINGS  # matplotlib's stubs want each key as a literal
    with rc_context(settings):
        yield


def new_figure(height: float, width: float = WIDTH, **grid: Any) -> tuple[Figure, Any]:
    """A figure and its axes, laid out so that nothing is cut off; in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Axes | Any = figure.subplots(**grid)
    return figure, axes


def series(number: int) -> dict[str, Any]:
    """Colour, marker and dash of a line; no two of the first 28 are alike."""
    dash, _ = list(product(DASHES, range(len(COLOURS))))[number % 28]
    place = number % len(COLOURS)
    return {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": dash}


def save(drawn: Drawn, folder: Path) -> tuple[Path, Path]:
    """Write a figure as PDF and PNG; the same records give the same bytes.

    Returns: both files.
    """
    pdf, png = folder / f"{drawn.name}.pdf", folder / f"{drawn.name}.png"
    with paper_style():
        drawn.figure.savefig(
            pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None}
        )
        drawn.figure.savefig(png, dpi=DOTS, metadata={"Software": None})
    return pdf, png


def shortened(text: str, most: int = 34) -> str:
    """A name that leaves room for what it names."""
    return text if len(text) <= most else text[: most - 1] + "…"

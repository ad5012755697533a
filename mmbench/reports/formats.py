"""The formats of a report, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmbench.reports import latex as latex_format
from mmbench.reports import markdown as markdown_format
from mmbench.reports.data_formats import as_csv, as_json
from mmbench.reports.document import Document


@dataclass(frozen=True)
class Format:
    """How a report is written.

    Attributes:
        write: the text.
        style: unless another is asked for.
        level: how it sets what is not told from the best, in words; "" if it does not.
    """

    write: Callable[[Document], str]
    style: str
    level: str = ""


FORMATS = {
    "markdown": Format(markdown_format.markdown, "draft", markdown_format.LEVEL),
    "latex": Format(latex_format.latex, "paper", latex_format.LEVEL),
    "csv": Format(as_csv, "draft"),
    "json": Format(as_json, "draft"),
}

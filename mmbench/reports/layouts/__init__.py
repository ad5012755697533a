"""Layouts: what of the numbers stands in which table. One file a layout.

A layout is a function of the tables' numbers and `Options` that gives sheets; it is found by its
name in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmbench.reports.layouts.ablation import ablation
from mmbench.reports.layouts.categories import categories
from mmbench.reports.layouts.cost import cost
from mmbench.reports.layouts.main import main
from mmbench.reports.layouts.options import Options
from mmbench.reports.layouts.robustness import robustness
from mmbench.reports.sheet import Sheet
from mmbench.reports.table import Table

Layout = Callable[[Sequence[Table], Options], list[Sheet]]

LAYOUTS: dict[str, Layout] = {
    "main": main,
    "ablation": ablation,
    "robustness": robustness,
    "cost": cost,
    "categories": categories,
}

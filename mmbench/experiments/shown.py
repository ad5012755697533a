"""Results as Python and notebooks show them. How is `mmbench.reports`'; it is asked when shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Shown:
    """A result that shows itself: `print` gives its table, `repr` a line, a notebook HTML.

    A dataclass that is one must leave `repr` to it (`repr=False`).
    """

    def __str__(self) -> str:
        from mmbench.reports.notebook import text_of

        return text_of(self)

    def __repr__(self) -> str:
        from mmbench.reports.notebook import line_of

        return line_of(self)

    def _repr_html_(self) -> str:
        from mmbench.reports.notebook import html_of

        return html_of(self)

    def plot(self, axes: Axes | None = None, **options: Any) -> Axes:
        """Draw it.

        Args:
            axes: of matplotlib, to draw on; new ones if None.
            options: of its function in `mmbench.reports.plots`.
        Returns: the axes.
        Raises: MMBenchError if it holds nothing that could be drawn so.
        """
        from mmbench.reports.plots import plot

        return plot(self, axes, **options)

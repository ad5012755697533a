"""Draws the pictures of docs/fusions.md, one of each kind of fusion.

    python docs/fusion_pictures.py [--format png] [--out FOLDER]

Blue is the query, orange a context, green what is learnt and shared, violet what is fused. Needs
matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "mmbench"}

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import FancyBboxPatch, Rectangle  # noqa: E402

IMAGES = Path(__file__).parent / "images"
QUERY, CONTEXT, LEARNT, FUSED, PLAIN = "#8fb8de", "#f4b377", "#a5d0a0", "#c3a6d8", "#eeeeee"
SIZE = 4  # of a token's square

Point = tuple[float, float]


class Sketch:
    """A white sheet of 100 x 36, and the few things that are drawn on it."""

    def __init__(self) -> None:
        self.figure, axes = plt.subplots(figsize=(6.4, 2.3))
        self.axes: Axes = axes
        axes.set(xlim=(0, 100), ylim=(0, 36), aspect="equal")
        axes.axis("off")
        self.figure.subplots_adjust(0, 0, 1, 1)

    def box(self, at: Point, text: str, width: float = 16, height: float = 6) -> None:
        """A rounded box around its centre: something that computes."""
        corner = (at[0] - width / 2, at[1] - height / 2)
        style = "round,pad=0,rounding_size=1"
        patch = FancyBboxPatch(corner, width, height, style, fc=PLAIN, ec="#555555", lw=0.8)
        self.axes.add_patch(patch)
        self.text(at, text)

    def vector(self, at: Point, colour: str, text: str = "", width: float = 14) -> None:
        """One vector around its centre."""
        corner = (at[0] - width / 2, at[1] - SIZE / 2)
        self.axes.add_patch(Rectangle(corner, width, SIZE, fc=colour, ec="#555555", lw=0.8))
        self.text(at, text)

    def tokens(self, left: Point, colours: Sequence[str], text: str = "") -> list[Point]:
        """Tokens in a row, and a word above them; gives their centres."""
        centres = [(left[0] + SIZE / 2 + i * (SIZE + 1), left[1]) for i in range(len(colours))]
        for centre, colour in zip(centres, colours, strict=True):
            self.vector(centre, colour, width=SIZE)
        middle = (centres[0][0] + centres[-1][0]) / 2
        self.text((middle, left[1] + SIZE), text)
        return centres

    def text(self, at: Point, text: str, size: float = 8.5) -> None:
        """Words around a point."""
        self.axes.text(*at, text, ha="center", va="center", fontsize=size, family="sans-serif")

    def arrow(self, start: Point, end: Point, colour: str = "#333333", both: bool = False) -> None:
        """From one point to another."""
        style = {"arrowstyle": "<|-|>" if both else "-|>", "color": colour, "lw": 0.9}
        shape = style | {"shrinkA": 1, "shrinkB": 1, "mutation_scale": 7}
        self.axes.annotate("", end, start, arrowprops=shape)

    def circle(self, at: Point, sign: str) -> None:
        """A sign in a circle: an operation on features."""
        self.axes.plot(*at, "o", ms=12, mfc="white", mec="#555555", mew=0.8)
        self.text((at[0], at[1] - 0.1), sign, 10)

    def bars(self, left: Point, heights: Sequence[float], colour: str) -> None:
        """Probabilities of classes."""
        for i, height in enumerate(heights):
            corner = (left[0] + 3 * i, left[1])
            self.axes.add_patch(Rectangle(corner, 2.4, height, fc=colour, ec="#555555", lw=0.8))


def joined(s: Sketch) -> None:
    """Two vectors side by side, and a layer."""
    s.vector((12, 25), QUERY, "query")
    s.vector((12, 11), CONTEXT, "context")
    s.vector((39, 18), QUERY, width=12)
    s.vector((51, 18), CONTEXT, width=12)
    s.arrow((19, 25), (33, 19))
    s.arrow((19, 11), (33, 17))
    s.text((45, 23), "[x₁; x₂]")
    s.arrow((57, 18), (64, 18))
    s.box((71, 18), "layer", 14)
    s.arrow((78, 18), (84, 18))
    s.vector((91, 18), FUSED, "h")


def weighed(s: Sketch) -> None:
    """A gate or score for each vector, and their sum."""
    s.vector((12, 28), QUERY, "query")
    s.vector((12, 8), CONTEXT, "context")
    s.box((37, 18), "gate or score", 20)
    s.arrow((19, 27), (30, 21.2))
    s.arrow((19, 9), (30, 14.8))
    s.circle((60, 28), "×")
    s.circle((60, 8), "×")
    s.arrow((19, 28), (57.5, 28))
    s.arrow((19, 8), (57.5, 8))
    s.arrow((47, 20), (58.5, 26))
    s.arrow((47, 16), (58.5, 10))
    s.text((54, 21.4), "g₁")
    s.text((54, 14.2), "g₂")
    s.circle((74, 18), "+")
    s.arrow((62, 27), (72.5, 20))
    s.arrow((62, 9), (72.5, 16))
    s.arrow((76.5, 18), (84, 18))
    s.vector((91, 18), FUSED, "h")


def products(s: Sketch) -> None:
    """Projections, multiplied feature by feature."""
    s.vector((12, 28), QUERY, "query")
    s.vector((12, 8), CONTEXT, "context")
    s.box((35, 28), "projection", 18)
    s.box((35, 8), "projection", 18)
    s.arrow((19, 28), (26, 28))
    s.arrow((19, 8), (26, 8))
    s.circle((53, 18), "×")
    s.arrow((44, 27), (51.5, 20))
    s.arrow((44, 9), (51.5, 16))
    s.text((53, 24.5), "feature by\nfeature", 7)
    s.arrow((55.5, 18), (63, 18))
    s.box((71, 18), "sum, layer", 16)
    s.arrow((79, 18), (84, 18))
    s.vector((91, 18), FUSED, "h")


def modulation(s: Sketch) -> None:
    """The query scales and shifts each token of the context."""
    s.vector((12, 28), QUERY, "query")
    s.arrow((19, 28), (32, 28))
    s.box((41, 28), "gains, shifts", 18)
    tokens = s.tokens((2, 8), [CONTEXT] * 4, "context")
    s.arrow((tokens[-1][0] + 2, 8), (31, 8))
    s.box((44, 8), "(1 + g) · norm(c) + b", 26)
    s.arrow((41, 25), (42, 11))
    s.arrow((57, 8), (62, 8))
    changed = s.tokens((62.5, 8), [FUSED] * 4)
    s.arrow((changed[1][0] + 2.5, 10.5), (88, 24))
    s.text((85, 16), "maximum")
    s.vector((91, 27), FUSED, "h")


def attends(s: Sketch) -> None:
    """Each position of the query looks at all tokens of the context."""
    query = s.tokens((6, 8), [QUERY] * 3, "")
    s.text((13, 3), "query")
    context = s.tokens((2, 28), [CONTEXT] * 6, "context")
    for token in context:
        s.arrow((token[0], 26), (query[1][0], 10), "#c2793a")
    s.arrow((22, 8), (44, 8))
    s.box((56, 8), "attention, layer,\nlayer by layer", 24, 9)
    s.arrow((32, 27), (55, 13), "#c2793a")
    s.arrow((68, 8), (78, 8))
    s.tokens((79, 8), [FUSED] * 3, "h")


def both_ways(s: Sketch) -> None:
    """Tokens of both look at each other, each stream with layers of its own."""
    query = s.tokens((4, 8), [QUERY] * 4, "")
    s.text((14, 3), "query")
    context = s.tokens((4, 26), [CONTEXT] * 4, "context")
    for one in query:
        for other in context:
            s.arrow((one[0], 10), (other[0], 24), "#999999", both=True)
    s.arrow((25, 26), (43, 26))
    s.arrow((25, 8), (43, 8))
    s.box((56, 26), "layer of the context", 26)
    s.box((56, 8), "layer of the query", 26)
    s.arrow((52, 23), (52, 11), "#c2793a")
    s.arrow((60, 11), (60, 23), "#3b78b0")
    s.arrow((69, 8), (76, 8))
    s.tokens((77, 8), [FUSED] * 4, "h")


def one_stream(s: Sketch) -> None:
    """All tokens in one row, through one Transformer."""
    tokens = s.tokens((3, 18), [CONTEXT] * 4 + [QUERY] * 3)
    s.text((12.5, 22.5), "contexts")
    s.text((30, 22.5), "query")
    s.arrow((tokens[-1][0] + 2, 18), (43, 18))
    s.box((55, 18), "one Transformer\nover all tokens", 24, 10)
    s.arrow((67, 18), (73, 18))
    s.tokens((74, 18), [FUSED] * 3, "h")


def few_tokens(s: Sketch) -> None:
    """What passes through a few tokens."""
    context = s.tokens((2, 28), [CONTEXT] * 7, "context")
    few = s.tokens((14.5, 12), [LEARNT] * 2)
    s.text((19, 7.5), "few learnt tokens")
    for token in context:
        s.arrow((token[0], 26), (few[token[0] > 20][0], 14), "#c2793a")
    query = s.tokens((52, 22), [QUERY] * 3, "query")
    for token in query:
        s.arrow((few[1][0] + 2, 12), (token[0], 20), "#4d9145")
    s.arrow((query[2][0] + 3, 22), (79, 22))
    s.tokens((80, 22), [FUSED] * 3, "h")


def decision(s: Sketch) -> None:
    """A classifier per modality, whose decisions are joined."""
    for y, colour, name, heights in (
        (26, QUERY, "query", (2, 6, 3)),
        (9, CONTEXT, "context", (5, 6, 1)),
    ):
        s.vector((12, y), colour, name)
        s.arrow((19, y), (26, y))
        s.box((34, y), "classifier")
        s.arrow((42, y), (47, y))
        s.bars((48, y - 3), heights, colour)
    s.arrow((58, 25), (65, 20))
    s.arrow((58, 10), (65, 16))
    s.box((72, 18), "mean, weights\nor evidence", 17, 9)
    s.arrow((80.5, 18), (85, 18))
    s.bars((86, 15), (3, 6.5, 2), FUSED)


PICTURES: dict[str, Callable[[Sketch], None]] = {
    picture.__name__: picture
    for picture in (
        *(joined, weighed, products, modulation, attends),
        *(both_ways, one_stream, few_tokens, decision),
    )
}


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        sketch = Sketch()
        draw(sketch)
        metadata = {"Date": None} if options.format == "svg" else None
        path = options.out / f"fusion_{name}.{options.format}"
        sketch.figure.savefig(path, facecolor="white", metadata=metadata)
        plt.close(sketch.figure)


if __name__ == "__main__":
    main()

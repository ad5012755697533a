"""A page of samples to look at: generated pictures, large, each beside the real one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mmbench.metrics.images.features import as_pixels

COLUMNS, ROWS = 8, 4
LARGE, SMALL = 128, 64  # pixels a side on the page, of a generated picture and of the real one
LINES = 5  # of a prompt
_GAP, _TEXT, _LEADING = 8, 11, 13
_PAPER, _INK, _FAINT = "white", "black", (110, 110, 110)


def sample_grid(
    prompts: Sequence[str],
    generated: Sequence[Any],
    real: Sequence[Any],
    columns: int = COLUMNS,
    rows: int = ROWS,
) -> bytes:
    """The first pictures with their prompts and the real pictures of these, as a PNG.

    Args:
        prompts: what was asked for; cut off where it takes more than five lines.
        generated, real: pictures of the prompts (H, W, 3) uint8, in the same order.
        columns, rows: how many at most.
    Returns: the PNG file's content.
    Raises: MMBenchError where one is no picture.
    """
    shown = min(columns * rows, len(prompts))
    columns = max(1, min(columns, shown))
    font = ImageFont.load_default(_TEXT)
    width, height = LARGE + _GAP + SMALL, LARGE + _GAP // 2 + LINES * _LEADING
    lines = -(-shown // columns)
    page = Image.new("RGB", (columns * (width + 2 * _GAP), lines * (height + 2 * _GAP)), _PAPER)
    draw = ImageDraw.Draw(page)
    for place in range(shown):
        left = place % columns * (width + 2 * _GAP) + _GAP
        top = place // columns * (height + 2 * _GAP) + _GAP
        page.paste(_scaled(generated[place], place, LARGE), (left, top))
        beside = left + LARGE + _GAP
        page.paste(_scaled(real[place], place, SMALL), (beside, top))
        draw.text((beside, top + SMALL), "real", _FAINT, font)
        text = "\n".join(_wrapped(prompts[place], font, width))
        spacing = _LEADING - _TEXT
        draw.multiline_text((left, top + LARGE + _GAP // 2), text, _INK, font, spacing=spacing)
    content = io.BytesIO()
    page.save(content, "PNG", optimize=True)
    return content.getvalue()


def _scaled(picture: Any, row: int, side: int) -> Image.Image:
    return Image.fromarray(as_pixels(picture, row)).resize((side, side), Image.Resampling.NEAREST)


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most this many pixels; what does not fit in `LINES` of them ends in '...'."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], lines[LINES - 1] + " ..."]
    return lines

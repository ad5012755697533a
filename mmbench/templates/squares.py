"""The example data of a new dataset: squares of a colour, and questions about them."""

from __future__ import annotations

import csv
from pathlib import Path

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 70), "blue": (50, 80, 220), "grey": (128,) * 3}
_SPLITS = {"train": 40, "test": 12}
_SIZE = 32


def write_squares(folder: Path) -> None:
    """Write `train.csv`, `test.csv` and the images that they name into a folder.

    Args:
        folder: is made; its images lie below, in `images`.
    """
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    for split, count in _SPLITS.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["id", "question", "answer", "image"])
            for number in range(count):
                colour = list(COLOURS)[number % len(COLOURS)]
                side = 8 + (5 * number + len(split)) % 20
                image = Image.new("RGB", (_SIZE, _SIZE), "white")
                image.paste(COLOURS[colour], (2, 2, 2 + side, 2 + side))
                image.save(folder / "images" / f"{split}_{number}.png")
                name = f"{split}_{number}"
                table.writerow([name, "what colour is the square?", colour, f"{name}.png"])

"""How large is a page, and how soon is it open? A Markdown table.

    python benchmarks/page.py [--repeats 5]

Pages of the reference records of easy-VQA (three fusions, 9,673 questions about 1,000 images), of
all reference records, and of 10,000 made-up samples, each with a photograph-like image of its own,
a sentence, and six models' sentences. Opened in headless Chromium (Debian: chromium,
chromium-driver) from a file, at the results and at a sample; the time is from the start of
navigation until tables and sample are drawn, the median of the repeats.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from mmbench.data.media import MediaRef, MediaSet
from mmbench.experiments.result import RunResult
from mmbench.records.store import find_records
from mmbench.records.verification import verified
from mmbench.reports.page.page import make_page, page_text
from mmbench.reports.page.samples import Browsed
from mmbench.reports.page.scores import Score
from mmbench.reports.page.summary import make_section
from mmbench.reports.table import make_tables

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
WORDS = (
    "a",
    "the",
    "small",
    "large",
    "red",
    "dog",
    "cat",
    "runs",
    "over",
    "beside",
    "house",
    "man",
)
MADE_UP, MODELS = 10_000, 6


def of_records(*folders: Path) -> str:
    found = find_records(folders)
    return make_page([RunResult(verified(folder), folder, True) for folder in found]).html


class Photographs:
    """Noise of every scale, as in a photograph, in colours: (N, 96, 96, 3), no two alike."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(1000, 1000, 3))
        scales = (0.5, 2, 8, 24)
        values = sum(2 * s * gaussian_filter(noise, (s, s, 0)) for s in scales)
        self._wall = np.clip(128 + 40 * np.asarray(values), 0, 255).astype(np.uint8)

    def __len__(self) -> int:
        return MADE_UP

    def __getitem__(self, row: int) -> np.ndarray[Any, Any]:
        down, right = divmod(row, 100)
        return self._wall[9 * down : 9 * down + 96, 9 * right : 9 * right + 96]


def made_up() -> str:
    rng = np.random.default_rng(0)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS, 12))

    media = MediaSet(Photographs(), "made up")
    runs = [(f"model_{number}", 0) for number in range(MODELS)]
    sets = Browsed(
        key="captioning/scenes/test",
        total=MADE_UP,
        ids=[f"test/{number}" for number in range(MADE_UP)],
        categories=None,
        columns={"captions": [(sentence(), sentence()) for _ in range(MADE_UP)]},
        answers={run: [sentence() for _ in range(MADE_UP)] for run in runs},
        shown_as={},
        scores=[Score("cider", 100, True, False, {run: rng.random(MADE_UP) for run in runs})],
        media={"image": [MediaRef(media, "made up", row) for row in range(MADE_UP)]},
        modalities={"image": "image"},
        rates={"image": 0},
    )
    [run] = find_records([REFERENCE / "captioning" / "scenes" / "gated_fusion"])
    [table] = make_tables([RunResult(verified(run), run, True)])
    section = make_section(table)
    return page_text([section], [sets])


def opened(file: Path, place: str, repeats: int) -> float:
    """Median milliseconds until the page says that it is ready."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.wait import WebDriverWait

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    ready = "return document.documentElement.dataset.ready"
    times = []
    for _ in range(repeats):
        driver.get("about:blank")
        driver.get(file.as_uri() + place)
        times.append(float(WebDriverWait(driver, 60).until(lambda d: d.execute_script(ready))))
    driver.quit()
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    easy = [
        REFERENCE / "vqa" / "easy_vqa" / f"{f}_fusion" for f in ("concat", "gated", "attention")
    ]
    pages: dict[str, tuple[Callable[[], str], str]] = {
        "easy_vqa, three fusions": (lambda: of_records(*easy), "#sample=test/5000"),
        "10,000 made-up photographs": (made_up, "#sample=test/5000"),
        "all reference records": (
            lambda: of_records(REFERENCE),
            "#set=vqa/scenes/test&sample=test/2000",
        ),
    }
    print("| page | made in, s | MB | results open, ms | a sample open, ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, sample) in pages.items():
            start = time.perf_counter()
            file = Path(folder) / "page.html"
            file.write_text(make(), encoding="ascii")
            taken = time.perf_counter() - start
            size = file.stat().st_size / 1e6
            times = [f"{opened(file, place, repeats):.0f}" for place in ("", sample)]
            print(f"| {name} | {taken:.0f} | {size:.1f} | {' | '.join(times)} |", flush=True)


if __name__ == "__main__":
    main()

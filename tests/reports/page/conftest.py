"""A headless Chromium, and pages made of the reference records."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mmbench.experiments.result import RunResult, load_run
from mmbench.reports.page.page import make_page
from tests.conftest import ROOT

REFERENCE = ROOT / "results" / "reference"


class Browser:
    """A page in Chromium, as a person has it before them."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, file: Path, place: str = "", width: int = 1400, height: int = 900) -> None:
        """Open the page at a place, and wait until it says that it is ready."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.driver.get(file.as_uri() + place)
        self.until("document.documentElement.dataset.ready")

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function's body returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str) -> Any:
        """Wait until the expression is true in the page; its value."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, 60, poll_frequency=0.05).until(
            lambda _: self.run(f"return {condition}")
        )

    def choose(self, control: str, value: str) -> None:
        """Set a control of the browser of samples, as a reader does."""
        event = "input" if control == "text" else "change"
        self.run(
            "const control = document.getElementById(arguments[0]);"
            "control.value = arguments[1];"
            "control.dispatchEvent(new Event(arguments[2], { bubbles: true }));",
            *(control, value, event),
        )

    def count(self) -> int:
        """How many samples fit."""
        return int(self.run("return document.getElementById('count').dataset.count"))

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(key).perform()

    def complaints(self) -> list[str]:
        """What the console says since it was last asked."""
        return [line["message"] for line in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; skips where there is none."""
    selenium = pytest.importorskip("selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    assert selenium
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = Chrome(options=options, service=Service(driver))
    yield Browser(started)
    started.quit()


@pytest.fixture
def browser(chromium):
    """The browser, whose console is empty; the test fails if anything complains in it."""
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


def runs_of(folder: str, *models: str, seeds: int = 1) -> list[RunResult]:
    """Reference records of these models."""
    return [
        load_run(path)
        for model in models
        for path in sorted((REFERENCE / folder / model).glob("*/seed-*"))[:seeds]
    ]


@pytest.fixture(scope="session")
def easy_runs():
    """Of easy-VQA: two models of one seed, and one of two."""
    models = ("concat_fusion", "question_only")
    return [*runs_of("vqa/easy_vqa", *models), *runs_of("vqa/easy_vqa", "majority", seeds=2)]


@pytest.fixture(scope="session")
def easy_page(easy_runs, tmp_path_factory):
    """The file of a page of these."""
    file = tmp_path_factory.mktemp("page") / "easy.html"
    file.write_text(make_page(easy_runs).html, encoding="ascii")
    return file

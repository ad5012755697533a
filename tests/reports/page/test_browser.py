"""The page in Chromium: sorting, filters, links, keys, and hostile texts that do nothing."""

import dataclasses

import pandas as pd
import pytest

import mmbench
from mmbench.experiments.result import load_run
from mmbench.records.store import read_record, write_record
from mmbench.reports.page.page import make_page
from tests.reports.page.conftest import runs_of

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    '</script><svg onload="window.hacked = 3">\'"`${window.hacked=4}{{7*7}}'
    "\u2028\u202e\u200f&lt;b&gt;"
)
CELLS = "[...document.querySelectorAll('.section:not([hidden]) .tabulator')]"


@pytest.fixture(scope="module")
def answers(easy_runs):
    """By model, the answers of its first seed."""
    return {run.record.model: run.predictions() for run in reversed(easy_runs)}


def column(browser, table, number):
    """The texts of a table's column, from the top."""
    return browser.run(
        f"const rows = {CELLS}[arguments[0]].querySelectorAll('.tabulator-row');"
        "const cells = (row) => row.querySelectorAll('.tabulator-cell');"
        "return [...rows].map((row) => cells(row)[arguments[1]].textContent)",
        *(table, number),
    )


def test_tables_are_sorted_by_value_and_by_keyboard(browser, easy_page):
    browser.open(easy_page)
    assert column(browser, 0, 0)[0] == "concat_fusion"
    heads = f"{CELLS}[0].querySelectorAll('button.head')"
    assert browser.run(f"return [...{heads}].map((head) => head.textContent)") == [
        *("model", "seeds", "Accuracy", "letters")
    ]
    browser.run(f"{heads}[2].focus()")
    browser.press("\n")
    browser.press("\n")
    browser.until(f"{CELLS}[0].querySelector('.tabulator-row').textContent.includes('majority')")
    values = [float(text.split()[0]) for text in column(browser, 0, 2)]
    assert values == sorted(values)
    assert [len(v) > 0 for v in column(browser, 1, 1)] == [True] * 3


def test_a_table_is_filtered_by_model(browser, easy_page):
    browser.open(easy_page)
    box = f"{CELLS}[0].querySelector('.tabulator-header-filter input')"
    assert browser.run(f"return {box}.getAttribute('aria-label')") == "filter by model"
    browser.run(f"{box}.focus()")
    browser.press("CONCAT")
    browser.until(f"{CELLS}[0].querySelectorAll('.tabulator-row').length === 1")
    assert column(browser, 0, 0) == ["concat_fusion"]


def test_a_right_and_b_wrong_are_what_pandas_counts(browser, easy_page, answers):
    browser.open(easy_page, "#view=samples")
    assert browser.count() == 9673
    names = browser.run("return [...document.getElementById('a').options].map((o) => o.text)")
    right = pd.DataFrame({model: table["accuracy"] == 1 for model, table in answers.items()})
    a, b = "question_only", "majority"
    browser.choose("a", str(names.index(a)))
    browser.choose("b", str(names.index(b)))
    expected = {
        "a_not_b": (right[a] & ~right[b]),
        "both": (right[a] & right[b]),
        "neither": (~right[a] & ~right[b]),
        "some": right.any(axis=1) & ~right.all(axis=1),
        "all": right.all(axis=1),
        "none": ~right.any(axis=1),
    }
    given = pd.DataFrame({model: table["prediction"] for model, table in answers.items()})
    expected["differ"] = given.nunique(axis=1) > 1
    for outcome, which in expected.items():
        browser.choose("outcome", outcome)
        browser.until(f"document.getElementById('count').dataset.count === '{which.sum()}'")
    browser.choose("outcome", "a_not_b")
    browser.choose("category", "shape")
    table = answers[a]
    both = expected["a_not_b"] & (table["category"] == "shape")
    assert browser.count() == both.sum() > 0
    browser.choose("text", "TRIANGLE")
    texts = table["text"] + "\n" + table["target"]
    for given_answers in answers.values():
        texts += "\n" + given_answers["prediction"]
    found = (both & texts.str.contains("triangle")).sum()
    browser.until(f"document.getElementById('count').dataset.count === '{found}'")
    browser.choose("outcome", "any")
    browser.choose("category", "")
    browser.choose("text", "no question has this")
    browser.until("document.getElementById('count').dataset.count === '0'")


def test_a_link_opens_its_sample_and_keys_lead_on(browser, easy_page, answers):
    browser.open(easy_page, "#sample=test/4321")
    assert shown(browser) == "test/4321"
    row = answers["concat_fusion"].set_index("id").loc["test/4321"]
    text = browser.run("return document.getElementById('detail').textContent")
    for part in (row["text"], row["target"], *(a["prediction"][4321] for a in answers.values())):
        assert part in text
    picture = "document.querySelector('#detail img')"
    browser.until(f"{picture}.complete && {picture}.naturalWidth")
    assert browser.run(f"return {picture}.naturalWidth") == 64
    for key, expected in (("j", 4322), ("\ue014", 4323), ("k", 4322), ("\ue012", 4321)):
        browser.press(key)
        browser.until(f"document.getElementById('detail').dataset.sample === 'test/{expected}'")
    assert browser.run("return decodeURIComponent(location.hash)").endswith("sample=test/4321")
    chosen = browser.run("return document.querySelector('#list .chosen').textContent")
    assert "test/4321" in chosen


def shown(browser):
    return browser.run("return document.getElementById('detail').dataset.sample")


def test_keys_in_a_field_are_the_fields(browser, easy_page):
    browser.open(easy_page, "#sample=test/5")
    browser.run("document.getElementById('text').focus()")
    browser.press("jk")
    assert browser.run("return document.getElementById('text').value") == "jk"
    assert shown(browser) == "test/5"


def test_only_the_rows_in_sight_are_made(browser, easy_page):
    browser.open(easy_page, "#view=samples")
    assert 5 < browser.run("return document.querySelectorAll('#list .tabulator-row').length") < 100


def test_another_seed_has_other_answers_and_models_without_it_say_so(browser, easy_page):
    browser.open(easy_page, "#view=samples")
    browser.choose("seed", "1")
    browser.until("document.querySelectorAll('#list .tabulator-row').length")
    heads = browser.run(
        "return [...document.querySelectorAll('#list button.head')].map((head) => head.textContent)"
    )
    assert "concat_fusion (seed 0)" in heads
    assert "majority" in heads


def test_a_narrow_page_fits_and_has_the_answers(browser, easy_page):
    for place in ("", "#view=samples", "#sample=test/7"):
        browser.open(easy_page, place, width=390, height=844)
        assert browser.run("return document.documentElement.scrollWidth") <= 390
    assert "concat_fusion" in browser.run("return document.getElementById('list').textContent")
    assert shown(browser) == "test/7"


def test_every_control_has_a_name(browser, easy_page):
    browser.open(easy_page, "#sample=test/7")
    nameless = browser.run(
        "return [...document.querySelectorAll('input, select, button, a, img, audio')]"
        ".filter((e) => !e.labels?.length && !e.ariaLabel && !e.textContent.trim() && !e.alt)"
        ".map((e) => e.outerHTML)"
    )
    assert nameless == []


def test_a_text_has_contrast_in_light_and_in_dark(browser, easy_page):
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.open(easy_page, "#sample=test/7")
        ground, *inks = (
            browser.run(
                "const probe = document.body.appendChild(document.createElement('i'));"
                "probe.style.color = `var(--${arguments[0]})`;"
                "return getComputedStyle(probe).color.match(/\\d+/g).map(Number)",
                name,
            )
            for name in ("ground", "ink", "faint", "accent", "right", "wrong")
        )
        assert min(contrast(ground, ink) for ink in inks) >= 4.5
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(one, other):
    """As WCAG 2.1 defines it."""

    def luminance(colour):
        parts = [c / 255 for c in colour[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_several_sets_and_graded_metrics(browser, tmp_path):
    file = tmp_path / "page.html"
    runs = [
        *runs_of("captioning/scenes", "concat_fusion", "gated_fusion"),
        *runs_of("generation/scenes", "gated_fusion"),
    ]
    file.write_text(make_page(runs, samples=200).html)
    browser.open(file)
    assert browser.run("return document.querySelectorAll('.to-section').length") == 2
    browser.open(file, "#set=captioning/scenes/test&view=samples")
    browser.choose("outcome", "a_not_b")
    ids = browser.run(
        "return [...document.querySelectorAll('#list .tabulator-row')]"
        ".map((row) => row.querySelector('a').textContent)"
    )
    a, b = (load_run(run.path).predictions().set_index("id")["cider"] for run in runs[:2])
    names = browser.run("return [...document.getElementById('a').options].map((o) => o.text)")
    ahead = (a - b) * (1 if names[0] == "concat_fusion" else -1)
    drawn = browser.run("return document.getElementById('count').textContent")
    assert "drawn at random from 2,000" in drawn
    assert len(ids) > 3
    assert ahead[ids].gt(0).all()
    assert ahead[ids].round(3).is_monotonic_decreasing
    browser.open(file, "#set=generation/scenes/test_500&view=samples")
    row = "document.querySelector('#list .tabulator-row')"
    assert browser.run(f"return {row}.querySelectorAll('img').length") == 2


def test_a_link_to_a_sample_of_another_metric_chooses_it(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(make_page(runs_of("retrieval/scenes", "dual_encoder"), samples=300).html)
    browser.open(file, "#view=samples")
    assert "Text-to-image" in metric(browser)
    browser.choose("metric", "3")
    asked = browser.run("return document.querySelector('#list .tabulator-row a').textContent")
    browser.open(file, f"#sample={asked}")
    assert "Image-to-text" in metric(browser)
    assert "of" in browser.run("return document.getElementById('place').textContent")


def metric(browser):
    return browser.run("return document.getElementById('metric').selectedOptions[0].text")


def test_a_sample_that_is_not_there_is_said(browser, easy_page):
    browser.open(easy_page, "#sample=%3Cimg src=x onerror='window.hacked=1'%3E")
    assert "<img" in browser.run("return document.getElementById('note').textContent")
    assert browser.run("return window.hacked ?? null") is None


@pytest.fixture
def hostile_page(mini, tmp_path):
    """Of two models' records in which every text is hostile."""
    run = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path / "results")
    table = run.predictions()
    for name in ("id", "text", "target", "prediction", "category"):
        table[name] = [f"{HOSTILE}{number}" for number in range(len(table))]
    folder = tmp_path / "hostile"
    texts = dict.fromkeys(("dataset", "split", "fingerprint", "model"), HOSTILE)
    files = {
        "predictions.parquet": table.to_parquet(),
        "statistics.npz": (run.path / "statistics.npz").read_bytes(),
    }
    category = run.record.primary.model_copy(update={"category": HOSTILE})
    changes = texts | {"metrics": [run.record.primary, category], "overrides": {HOSTILE: HOSTILE}}
    write_record(folder, run.record.model_copy(update=changes), files)
    bad = dataclasses.replace(run, record=read_record(folder), path=folder)
    other = dataclasses.replace(bad, record=bad.record.model_copy(update={"model": "other"}))
    file = tmp_path / "page.html"
    file.write_text(make_page([bad, other]).html)
    return file


def test_hostile_texts_are_shown_and_do_nothing(browser, hostile_page):
    browser.open(hostile_page)
    scripts = browser.run("return document.scripts.length")
    assert column(browser, 0, 0)[0].startswith("<script>window.hacked = 1</script>")
    browser.open(hostile_page, "#view=samples")
    browser.choose("outcome", "differ")
    browser.choose("outcome", "any")
    browser.choose("text", "<SCRIPT>")
    browser.until("document.querySelectorAll('#list .tabulator-row').length")
    browser.run("document.querySelector('#list .tabulator-row a').click()")
    browser.until("document.getElementById('detail').hidden === false")
    shown = browser.run("return document.getElementById('detail').textContent")
    assert shown.count("<img src=x onerror='window.hacked = 2'>") >= 5
    assert "\\u202e" in shown
    assert "\u202e" not in shown
    browser.press("j")
    browser.until("document.getElementById('place').textContent.startsWith('2 of')")
    assert browser.run("return window.hacked ?? null") is None
    assert browser.run("return document.scripts.length") == scripts
    assert browser.run("return document.querySelectorAll('[onerror], [onload]').length") == 0
    assert browser.run("return document.querySelectorAll('img[src=x]').length") == 0


def test_what_gets_in_all_the_same_may_not_run(browser, easy_page):
    browser.open(easy_page)
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{ textContent: 'window.hacked = 1' }))"
    )
    assert browser.run("return window.hacked ?? null") is None
    [blocked] = browser.complaints()
    assert "Content Security Policy" in blocked

import re

import pytest

from mmbench.reports.layouts import LAYOUTS
from mmbench.reports.layouts.options import Options
from mmbench.reports.sheet import Number
from mmbench.reports.table import make_tables
from tests.reports.reference import altered, changed, reference_runs, reference_tables

PAPER = Options(style="paper", level="underlined")


def column(sheet, title):
    at = [head.title for head in sheet.heads].index(title)
    return {line.label: line.shown[at] for line in sheet.lines}


def test_the_caption_says_data_samples_seeds_and_statistics():
    [sheet] = LAYOUTS["main"](reference_tables("vqa", "easy_vqa"), PAPER)
    for words in (
        *("accuracy", "test split", "easy-VQA", "9,673 questions", "3 seeds", "bold", "underlined"),
        *("Holm", "15 tests", "letter"),
    ):
        assert words.lower() in sheet.caption.lower()


def test_a_single_seed_is_said_and_has_its_interval():
    sheet = LAYOUTS["main"](reference_tables("vqa", "scenes"), PAPER)[0]
    assert "One training each (seed 0)" in sheet.caption
    assert all(re.match(r"\[.+, .+\]", n.spread("sd")) for n in column(sheet, "Accuracy").values())


def test_the_best_is_marked_and_what_is_level_with_it():
    [sheet] = LAYOUTS["main"](reference_tables("vqa", "easy_vqa"), PAPER)
    numbers = column(sheet, "Accuracy")
    assert [label for label, n in numbers.items() if n.best] == ["attention_fusion"]
    assert {label for label, n in numbers.items() if n.mark.level} == {
        *("attention_fusion", "concat_fusion", "gated_fusion")
    }
    assert numbers["majority"].mark.letters == numbers["image_only"].mark.letters != ""


def test_with_a_baseline_all_others_are_compared_with_it_alone():
    options = Options(style="paper", level="underlined", baseline="question_only")
    [sheet] = LAYOUTS["main"](reference_tables("vqa", "easy_vqa"), options)
    assert sheet.tests == 5
    assert "not significantly different from Question only" in sheet.caption
    numbers = column(sheet, "Accuracy")
    assert [label for label, n in numbers.items() if n.mark.level] == ["question_only"]


def test_columns_that_may_not_be_compared_say_how_they_differ():
    run = reference_runs("vqa", "easy_vqa")[0]
    other = altered(run, limit=20)
    [table] = make_tables([run, other])
    [sheet] = LAYOUTS["main"]([table], Options())
    assert {h.title for h in sheet.heads} >= {"Accuracy (all)", "Accuracy (first 20)"}


def test_retrieval_stands_in_groups_of_directions():
    sheet = LAYOUTS["main"](reference_tables("retrieval", "scenes"), PAPER)[0]
    assert [(h.groups, h.title) for h in sheet.heads][:4] == [
        *((("Text-to-image",), f"R@{k}") for k in (1, 5, 10)),
        (("Image-to-text",), "R@1"),
    ]


def test_lower_is_better_has_an_arrow_and_the_lowest_is_best():
    sheet = LAYOUTS["main"](reference_tables("generation"), PAPER)[0]
    head = next(h for h in sheet.heads if h.title == "FD")
    assert head.label == "FD ↓"
    numbers = column(sheet, "FD").values()
    assert min(n.mean for n in numbers) == next(n for n in numbers if n.best).mean


def test_changes_to_a_model_are_differences_from_it():
    runs = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model == "gated_fusion"]
    others = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model == "image_only"]
    as_change = [
        changed(altered(o, model="gated_fusion"), **{"train.epochs": 3, "width": 64})
        for o in others
    ]
    [table] = make_tables([*runs, *as_change])
    [sheet] = LAYOUTS["ablation"]([table], PAPER)
    base, change = sheet.lines
    assert base.title == "Gated"
    assert change.title == "train.epochs = 3, width = 64"
    assert base.shown[1] is None
    value, difference = change.shown
    assert difference.mean == pytest.approx(value.mean - base.shown[0].mean)
    assert difference.low < difference.mean < difference.high < 0
    assert difference.shown.startswith("-")
    assert difference.best  # it differs after correction
    assert difference.p_value < 0.05
    assert "1 test;" not in sheet.caption
    assert "1 test." in sheet.caption


def test_costs_stand_beside_the_primary_score():
    [sheet] = LAYOUTS["cost"](reference_tables("vqa", "vqa_rad"), PAPER)
    titles = [(h.groups, h.title) for h in sheet.heads]
    assert titles[0] == ((), "Accuracy")
    for expected in (
        *((("Parameters",), "Trained"), (("Parameters",), "Frozen")),
        *(((), "Operations"), ((), "Train (s)"), (("Latency (ms)",), "p50")),
    ):
        assert expected in titles
    by_label = {line.label: line for line in sheet.lines}
    assert by_label["majority"].facts["trained_parameters"] is None
    row = next(r for r in reference_tables("vqa", "vqa_rad")[0].rows if r.model.startswith("gated"))
    facts = by_label[row.label].facts
    total = facts["trained_parameters"] + facts["frozen_parameters"]
    assert total == sum(row.record.parameters.values())
    seconds = [run.record.training.seconds for run in row.results()]
    assert facts["training_seconds"] == pytest.approx(sum(seconds) / len(seconds))


def test_categories_have_the_records_values():
    [sheet] = LAYOUTS["categories"](reference_tables("vqa", "easy_vqa"), PAPER)
    assert [h.title for h in sheet.heads] == ["All", "Color", "Shape", "Yes/no"]
    runs = [r for r in reference_runs("vqa", "easy_vqa") if r.record.model == "question_only"]
    values = [e.value for run in runs for e in run.record.metrics if e.category == "shape"]
    number = column(sheet, "Shape")["question_only"]
    assert isinstance(number, Number)
    assert number.mean == pytest.approx(sum(values) / len(values))
    assert sheet.tests == 4 * 15


def test_a_stranger_to_this_installation_still_has_a_table():
    run = reference_runs("vqa", "easy_vqa")[0]
    metric = run.record.primary.model_copy(
        update={"name": "my_score", "signature": "my_score|v:7", "value": 0.5}
    )
    [table] = make_tables([altered(run, metrics=[metric], task="my_task", dataset="my_data")])
    [sheet] = LAYOUTS["main"]([table], PAPER)
    assert sheet.title == "My task: My data"
    assert [h.title for h in sheet.heads] == ["My score"]
    assert "No differences were tested" in sheet.caption

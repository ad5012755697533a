import numpy as np

from mmbench.metrics.accuracy import Accuracy
from mmbench.reports.significance import Measurement, marks_of
from mmbench.statistics.measured import measure

GROUPS = np.arange(400)


def measurement(row, share, column="column", samples="same", seeds=(0, 1, 2)):
    draw = np.random.default_rng(len(row))
    by_seed = {s: (draw.random((400, 1)) < share).astype(float) for s in seeds}
    measured = measure(row, Accuracy(), by_seed, GROUPS, dataset=column)
    return Measurement(row, measured, samples)


def test_one_family_of_all_columns_and_letters_within_each():
    rows = [("good", 0.9), ("as good", 0.9), ("worse", 0.5)]
    marks = marks_of([measurement(*row, column=c) for c in ("a", "b") for row in rows])
    assert marks.tests == 6
    for column in ("a", "b"):
        assert marks.of(column, "worse").letters == "b"
        assert not marks.of(column, "worse").level
        assert marks.of(column, "worse").pair.different
        assert marks.of(column, "good").level
        assert marks.of(column, "as good").level
        assert marks.of(column, "good").letters == marks.of(column, "as good").letters == "a"


def test_against_a_baseline_there_are_no_letters():
    rows = [measurement("good", 0.9), measurement("worse", 0.5), measurement("base", 0.9)]
    marks = marks_of(rows, "base")
    assert marks.tests == 2
    assert marks.of("column", "base").level
    assert marks.of("column", "good").level
    assert not marks.of("column", "worse").level
    assert {marks.of("column", row).letters for row in ("good", "worse", "base")} == {""}


def test_rows_of_other_samples_are_not_compared_and_named():
    rows = [measurement("good", 0.9), measurement("worse", 0.5)]
    marks = marks_of([*rows, measurement("other", 0.7, samples="others")])
    assert marks.tests == 1
    assert "other" in marks.remarks[0]
    assert marks.of("column", "other").letters == ""


def test_a_column_without_the_baseline_is_not_compared_and_named():
    marks = marks_of([measurement("good", 0.9), measurement("worse", 0.5)], "base")
    assert marks.family is None
    assert "base" in marks.remarks[0]


def test_one_row_alone_is_not_tested():
    assert marks_of([measurement("good", 0.9)]).tests == 0

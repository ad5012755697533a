"""Families of differences: Holm, letters, verdicts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MMBenchError
from mmbench.metrics.accuracy import Accuracy
from mmbench.metrics.retrieval import MeanRank
from mmbench.statistics.family import compare_models
from mmbench.statistics.holm import holm
from mmbench.statistics.letters import compact_letters
from mmbench.statistics.measured import Measured, measure
from mmbench.statistics.verdicts import among_all

GROUPS = np.arange(150)


def models(
    gains: dict[str, float], seed: int = 0, runs: int = 3, metric=None, **more
) -> list[Measured]:
    """Models of these true shares of right answers."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=150)
    found = []
    for name, gain in gains.items():
        right = hard + gain + 0.3 * rng.normal(size=(runs, 150)) > 0
        by_seed = {s: row[:, None].astype(np.float64) for s, row in enumerate(right)}
        found.append(measure(name, metric or Accuracy(), by_seed, GROUPS, replicates=300, **more))
    return found


def test_all_pairs_best_first_with_holm_over_all() -> None:
    family = compare_models(models({"poor": -0.6, "good": 1.2, "fair": 0.5}))
    names = [(p.difference.a, p.difference.b) for p in family.pairs]
    assert names == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    assert [e.model for e in family.estimates] == ["good", "fair", "poor"]
    raw = [p.difference.p_value for p in family.pairs]
    assert [p.adjusted for p in family.pairs] == pytest.approx(holm(raw).tolist())
    assert family.tests == 3
    assert all(p.different for p in family.pairs)
    assert family.letters["", "accuracy"] == {"good": "a", "fair": "b", "poor": "c"}
    assert "good is better than every other" in family.verdicts["", "accuracy"]


def test_the_correction_is_over_metrics_and_datasets_together() -> None:
    gains = {"a": 0.9, "b": 0.2, "c": 0.1}
    one = compare_models(models(gains))
    many = compare_models(
        [m for seed, name in enumerate("xyz") for m in models(gains, seed, dataset=name)]
    )
    assert many.tests == 9
    first = [p for p in many.pairs if p.difference.dataset == "x"]
    for alone, among in zip(one.pairs, first, strict=True):
        assert among.difference.p_value == alone.difference.p_value
        assert among.adjusted >= alone.adjusted
        assert among.least_seen > alone.least_seen > alone.difference.least_seen
    assert set(many.letters) == {(name, "accuracy") for name in "xyz"}


def test_against_a_baseline_only_pairs_with_it_are_tested() -> None:
    family = compare_models(models({"poor": -0.8, "good": 1.2, "base": 0.3, "same": 0.3}), "base")
    tested = {(p.difference.a, p.difference.b) for p in family.pairs}
    assert tested == {("good", "base"), ("same", "base"), ("poor", "base")}
    verdict = family.verdicts["", "accuracy"]
    assert "better than base: good" in verdict
    assert "worse than base: poor" in verdict
    assert "no evidence of a difference from base: same" in verdict
    assert not family.letters
    with pytest.raises(MMBenchError, match="baseline bare is not among"):
        compare_models(models({"a": 0, "b": 0}), "bare")


def test_equal_models_are_not_told_apart_and_the_verdict_says_what_would_have_been_seen() -> None:
    family = compare_models(models({"a": 0.3, "b": 0.3}))
    (pair,) = family.pairs
    assert not pair.different
    assert "no evidence" in pair.verdict
    assert f"{100 * pair.least_seen:.2f} points" in pair.verdict
    assert set(family.letters["", "accuracy"].values()) == {"a"}


def test_a_verdict_on_single_runs_speaks_of_these_runs() -> None:
    (pair,) = compare_models(models({"good": 1.5, "poor": -1.0}, runs=1)).pairs
    assert "this run of good is better than this run of poor" in pair.verdict


def test_models_without_any_spread_have_a_verdict_without_a_claim() -> None:
    right = {0: np.ones((150, 1)), 1: np.ones((150, 1))}
    twins = [measure(name, Accuracy(), right, GROUPS) for name in "ab"]
    (pair,) = compare_models(twins).pairs
    assert (pair.adjusted, pair.different, pair.least_seen) == (1, False, None)
    assert "same on every sample" in pair.verdict


def test_where_lower_is_better_the_lowest_comes_first_and_is_called_better() -> None:
    rng = np.random.default_rng(0)
    found = []
    for name, most in (("late", 30), ("early", 4)):
        ranks = [[int(r)] for r in rng.integers(1, most, size=150)]
        statistics = MeanRank().statistics(ranks, [None] * 150)
        found.append(measure(name, MeanRank(), {0: statistics}, GROUPS))
    (pair,) = compare_models(found).pairs
    assert pair.difference.a == "early"
    assert pair.difference.difference < 0
    assert "early is better than" in pair.verdict


def test_a_model_given_twice_is_refused() -> None:
    with pytest.raises(MMBenchError, match="a was measured twice"):
        compare_models(models({"a": 0}) * 2)


def test_one_model_has_no_pairs() -> None:
    family = compare_models(models({"a": 0}))
    assert family.pairs == ()
    assert family.letters["", "accuracy"] == {"a": "a"}
    assert "no other model" in family.verdicts["", "accuracy"]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=21, max_size=21), st.integers(1, 7))
def test_models_share_a_letter_if_and_only_if_they_do_not_differ(
    differ: list[bool], count: int
) -> None:
    names = [f"m{i}" for i in range(count)]
    pairs = list(combinations(names, 2))
    different = {pair for pair, yes in zip(pairs, differ, strict=False) if yes}
    letters = compact_letters(names, different)
    assert all(letters.values())
    assert "a" in letters["m0"]
    for first, second in pairs:
        assert bool(set(letters[first]) & set(letters[second])) == (
            (first, second) not in different
        )


def test_no_letter_is_superfluous() -> None:
    letters = compact_letters(["a", "b", "c", "d"], [("a", "c"), ("a", "d"), ("b", "d")])
    assert letters == {"a": "a", "b": "ab", "c": "bc", "d": "c"}


REFERENCES = {"": ["alone", "floor"]}


def test_a_fusion_that_is_not_above_the_best_reference_has_fused_nothing() -> None:
    gains = {"fusion": 0.3, "other": 0.25, "alone": 0.3, "floor": -1.0}
    fusing = {"": ["fusion", "other"]}
    family = compare_models(models(gains), references=REFERENCES, fusing=fusing)
    words = family.of_references["", "accuracy"]
    assert "fused nothing" in words
    assert "alone" in words
    better = compare_models(
        models(gains | {"fusion": 1.5}), references=REFERENCES, fusing=fusing
    ).of_references["", "accuracy"]
    assert "better than alone, the best model that fuses nothing: fusion" in better
    assert "fused nothing here: other" in better
    assert compare_models(models(gains)).of_references == {}


def test_against_a_baseline_each_fusion_is_tested_against_the_best_reference_too() -> None:
    gains = {"fusion": 1.5, "base": 1.4, "alone": 0.3, "floor": -1.0}
    family = compare_models(
        models(gains), "base", references=REFERENCES, fusing={"": ["fusion", "base"]}
    )
    pairs = [(p.difference.a, p.difference.b) for p in family.pairs]
    assert sorted(pairs) == sorted(
        [("fusion", "base"), ("alone", "base"), ("floor", "base"), ("fusion", "alone")]
    )
    assert family.tests == 4
    assert "fusion" in family.of_references["", "accuracy"]
    assert "base" in family.of_references["", "accuracy"]  # by its own pair with the reference
    assert "alone" not in family.verdicts["", "accuracy"].split("no evidence")[-1]


@pytest.mark.parametrize("metric", [Accuracy(), MeanRank("text_to_image")])
def test_who_is_better_than_a_reference_is_told_by_what_the_metric_calls_better(metric) -> None:
    lower = not metric.higher_is_better
    rng = np.random.default_rng(0)
    found = []
    for name, level in (("fusion", 3.0), ("alone", 2.0)):
        if metric.name == "accuracy":
            rows = rng.random((3, 150, 1)) < level / 4
        else:
            ranks = 5 + (3 - level) * 20 + rng.normal(size=(3, 150, 1))
            rows = np.concatenate([ranks, np.ones_like(ranks)], axis=2)
        by_seed = {s: row.astype(np.float64) for s, row in enumerate(rows)}
        found.append(measure(name, metric, by_seed, GROUPS, replicates=300))
    family = compare_models(found, references={"": ["alone"]}, fusing={"": ["fusion"]})
    assert "better than alone" in next(iter(family.of_references.values()))
    assert family.higher_is_better[metric.name] is not lower


def test_a_column_keeps_the_p_values_of_the_whole_family() -> None:
    gains = {"a": 0.9, "b": 0.2, "c": 0.1}
    many = compare_models(
        [m for seed, name in enumerate("xyz") for m in models(gains, seed, dataset=name)]
    )
    one = many.column(("y", "accuracy"))
    assert (one.tests, len(one.pairs), len(one.estimates)) == (9, 3, 3)
    assert list(one.letters) == list(one.verdicts) == [("y", "accuracy")]
    assert set(one.pairs) <= set(many.pairs)


def test_two_models_over_several_tables_are_told_of_in_a_sentence() -> None:
    gains = [{"a": 1.5, "b": 0.0}, {"a": 0.0, "b": 0.0}, {"a": 0.0, "b": 1.5}]
    measured = [m for s, g in enumerate(gains) for m in models(g, s, dataset=f"d{s}")]
    [words] = compare_models(measured).over_columns(["a", "b"])
    assert "1 of 3 tables (d0 accuracy) and worse on 1 (d2 accuracy)" in words
    [same] = compare_models(models(gains[1])).over_columns(["a", "b"])
    assert "no evidence" in same
    assert "2 of 3 differences over 3 tables" in compare_models(measured).verdict


def test_a_family_without_a_difference_says_what_would_have_been_seen() -> None:
    family = compare_models(models({"a": 0.2, "b": 0.2, "c": 0.2}))
    least = max(pair.least_seen for pair in family.pairs)
    assert (
        f"a difference of {100 * least:.2f} points would have been seen"
        in (family.verdicts["", "accuracy"])
    )


def test_a_difference_larger_than_there_can_be_is_not_promised() -> None:
    assert "of 50.00 points would have been seen" in among_all(["a", "b"], [], 0.5, Accuracy())
    assert "not even the largest" in among_all(["a", "b"], [], 1.42, Accuracy())
    assert "of 1.42 in" in among_all(["a", "b"], [], 1.42, MeanRank("text_to_image"))

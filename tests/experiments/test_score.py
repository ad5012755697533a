"""From answers to metrics: every number is finite, and what has none says why."""

from math import isfinite

import numpy as np
import pytest
import torch
from torch import nn

from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError, NotMeasurable, ToolError
from mmbench.experiments.score import load_metrics, score_answers, score_sets
from mmbench.metrics.base import MeanMetric
from mmbench.metrics.images.features import Extractor
from mmbench.metrics.images.frechet import FrechetDistance
from mmbench.metrics.images.kid import KID
from mmbench.metrics.images.prdc import ManifoldMetric


class Pixels(Extractor):
    """Features that need no weights: the pixels."""

    name = "pixels"
    width = 12
    published = "none"
    preprocessing = "none"

    def prepare(self, image):
        return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255

    def network(self):
        return nn.Flatten()


class Given(MeanMetric):
    """The mean of numbers that are the answers; raises what is an error among them."""

    name = "given"
    source = "the test"

    def __init__(self, name="given", error=None):
        self.name, self.error = name, error

    def statistics(self, predictions, targets):
        if self.error:
            raise self.error
        return np.array(predictions, np.float64)[:, None]


def draw(count, seed):
    return list(np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8))


def samples(count, categories=None):
    kinds = categories or [None] * count
    given = [Sample(str(i), {}, "a", str(i), kind) for i, kind in enumerate(kinds)]
    return SampleSet(given, "d", "test", "f")


def numbers(scores):
    for entry in scores.entries:
        yield entry.value
        if entry.interval:
            yield from (entry.interval.low, entry.interval.high)
        yield from (v for v in (entry.ceiling, entry.standard_error) if v is not None)


@pytest.mark.filterwarnings("error")
def test_an_interval_is_of_the_resamples_that_have_a_value():
    scores = score_sets([KID(Pixels())], draw(6, 0), draw(90, 1))
    (entry,) = scores.entries
    assert entry.interval.low < entry.value < entry.interval.high
    known = np.isfinite(scores.replicates["kid_pixels"]).sum()
    assert 500 < known < 1000
    assert f"{known} of 1,000 resamples" in scores.notes[0]


@pytest.mark.filterwarnings("error")
def test_too_few_resamples_with_a_value_make_no_interval():
    scores = score_sets([KID(Pixels())], draw(2, 0), draw(90, 1))
    (entry,) = scores.entries
    assert isfinite(entry.value)
    assert entry.interval is None
    assert "kid_pixels: it has no interval" in scores.notes[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sizes", [(2, 2), (2, 40), (40, 2), (6, 7), (1, 40)])
def test_every_number_of_few_images_is_finite(sizes):
    kinds = ("precision", "recall", "density", "coverage")
    metrics = [KID(Pixels()), FrechetDistance(Pixels())]
    metrics += [ManifoldMetric(kind, Pixels()) for kind in kinds]
    if min(sizes) == 1:
        with pytest.raises(MMBenchError, match="no metric could be computed"):
            score_sets(metrics, draw(sizes[0], 0), draw(sizes[1], 1))
        return
    scores = score_sets(metrics, draw(sizes[0], 0), draw(sizes[1], 1))
    assert all(isfinite(number) for number in numbers(scores))
    named = {entry.name for entry in scores.entries}
    assert {"kid_pixels", "fd_pixels"} <= named
    left_out = [note for note in scores.notes if "is left out: precision and recall" in note]
    assert len(named) + len(left_out) == 6
    assert not scores.failed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_has_failed_and_others_are_kept(value):
    metrics = [Given("odd"), *load_metrics(["accuracy"])]
    given = samples(3)
    with np.errstate(invalid="ignore"):
        scores = score_answers(metrics, given, [value, 1.0, 2.0])
    assert [entry.name for entry in scores.entries] == ["accuracy"]
    assert "odd" not in scores.statistics
    assert str(value) in scores.failed["odd"]
    with pytest.raises(MMBenchError, match="no metric could be computed. odd: its value"):
        score_answers(metrics[:1], given, [value, 1.0, 2.0])


def test_a_category_without_a_value_is_a_note():
    given = samples(4, ["x", "y", "x", "y"])

    class Odd(Given):
        def aggregate(self, statistics):
            return float("nan") if len(statistics) == 2 and statistics[0, 0] else 1.0

    scores = score_answers([Odd()], given, [0.0, 1.0, 0.0, 1.0])
    assert [entry.category for entry in scores.entries] == [None, "x"]
    assert any(note.startswith("given of y is left out") for note in scores.notes)


def test_what_the_data_do_not_hold_is_a_note_and_what_broke_has_failed():
    metrics = [
        Given("needs_more", NotMeasurable("it needs ranks")),
        Given("broke", ToolError("no Java")),
        Given("given"),
    ]
    scores = score_answers(metrics, samples(3), [0.0, 1.0, 1.0])
    assert [entry.name for entry in scores.entries] == ["given"]
    assert scores.notes == ["needs_more is left out: it needs ranks"]
    assert scores.failed == {"broke": "no Java"}


def test_a_bca_interval_that_cannot_be_is_a_note():
    class OneSided(Given):
        def resample(self, statistics, weights, groups):
            values = super().resample(statistics, weights, groups)
            return np.where((weights == 1).all(axis=1), 0.0, 1 + values)

        def aggregate(self, statistics):
            return 0.0

    scores = score_answers([OneSided("one_sided"), Given()], samples(20), [1.0] * 20, "bca")
    assert [bool(entry.interval) for entry in scores.entries] == [False, True]
    assert scores.notes[0].startswith("one_sided: it has no interval")


def test_a_metric_that_is_named_twice_is_computed_once():
    assert len(load_metrics(["accuracy", "accuracy", "exact_match"])) == 2

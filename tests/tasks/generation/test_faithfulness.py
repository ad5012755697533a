"""Faithfulness: high on real pictures, low where a picture shows something else."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mmbench import registry
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError, ToolError
from mmbench.experiments.score import score_answers
from mmbench_tasks.generation import faithfulness as module
from mmbench_tasks.generation.faithfulness import KINDS, Faithfulness, tally

NAMES = ["faithfulness", *(f"faithfulness_{kind}" for kind in KINDS)]


def value(kind, pictures, targets):
    metric = Faithfulness(kind)
    return metric.aggregate(metric.statistics(pictures, targets))


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_real_pictures_reach_their_ceiling(real, kind):
    metric = Faithfulness(kind)
    statistics = metric.statistics(real.pictures, real.targets)
    assert statistics.shape == (100, 3)
    assert metric.aggregate(statistics) == metric.ceiling(statistics) >= 0.96


def test_pictures_of_other_prompts_are_far_below(real):
    others = np.roll(real.pictures, 1, axis=0)
    assert value(None, others, real.targets) < 0.6
    assert value("colour", others, real.targets) < 0.6
    statistics = Faithfulness().statistics(others, real.targets)
    assert Faithfulness().ceiling(statistics) > 0.96


def test_other_colours_cost_the_colours_alone(real):
    recoloured = real.pictures[..., [1, 2, 0]]  # white alone keeps its name
    assert value("colour", recoloured, real.targets) < 0.4
    assert value("count", recoloured, real.targets) > 0.9
    assert value("relation", recoloured, real.targets) > 0.8


def test_blur_costs_shapes_more_than_colours(real):
    blurred = [Image.fromarray(p).filter(ImageFilter.GaussianBlur(2)) for p in real.pictures]
    shape, colour = (value(kind, blurred, real.targets) for kind in ("shape", "colour"))
    assert shape < colour - 0.1


def test_upside_down_costs_places(real):
    turned = real.pictures[:, ::-1]
    assert value("place", turned, real.targets) < 0.6
    assert value("colour", turned, real.targets) > 0.95


def test_nothing_is_found_in_empty_pictures(real):
    empty = np.full_like(real.pictures, 40)
    counts = tally(empty, real.targets)
    assert not counts[..., module.FOUND].any()
    assert value(None, empty, real.targets) == 0


def test_a_tally_by_hand(real, monkeypatch):
    star = {"shape": "star", "colour": "red", "size": "large", "x": 10.0, "y": 10.0}
    cross = {"shape": "cross", "colour": "blue", "size": "small", "x": 40.0, "y": 10.0}
    claims = {
        "objects": [{"shape": "star", "colour": "red"}, {"shape": "cross", "size": "large"}],
        "relations": [(0, "left of", 1)],
        "count": 2,
    }
    seen = iter([[[star]], [[star, cross]]])
    monkeypatch.setattr(module, "read", lambda pictures: next(seen))
    counts = tally(real.pictures[:1], [{"image": real.pictures[0], "claims": claims}])[0]
    assert dict(zip(KINDS, counts.tolist(), strict=True)) == {
        "shape": [1, 2, 2],
        "colour": [1, 1, 1],
        "size": [0, 1, 0],
        "place": [0, 0, 0],
        "relation": [0, 1, 1],
        "count": [0, 1, 1],
    }


def test_pictures_are_read_once_for_all_metrics(real, monkeypatch):
    module._kept.clear()
    calls = []
    monkeypatch.setattr(module, "read", lambda p, read=module.read: calls.append(len(p)) or read(p))
    targets = real.targets[:30]
    metrics = [registry.load("metrics", name)() for name in NAMES]
    for metric in metrics:
        metric.statistics(real.pictures[:30], targets)
    assert calls == [30, 30]
    changed = real.pictures[:30].copy()
    changed[3] = 0
    metrics[0].statistics(changed, targets)
    metrics[0].statistics(changed, [targets[1], *targets[1:]])
    assert calls == [30] * 6


def test_scores_have_an_interval_and_the_ceiling(real):
    samples = SampleSet(
        [Sample(str(i), {}, target, str(i)) for i, target in enumerate(real.targets)],
        "scenes",
        "test",
        "fingerprint",
    )
    metrics = [registry.load("metrics", name)() for name in NAMES]
    scores = score_answers(metrics, samples, list(np.roll(real.pictures, 1, axis=0)))
    assert [entry.name for entry in scores.entries] == NAMES
    for entry in scores.entries:
        assert entry.interval.low < entry.value < entry.interval.high < entry.ceiling
    assert scores.failed == {}


def test_the_signature_says_how_it_is_measured():
    assert Faithfulness("size").signature == (
        f"faithfulness_size|recogniser:{module.WEIGHTS}|preprocessing:pil_box_32"
        "|match:best|relation:0.125_of_side|v:1"
    )


def test_what_cannot_be_checked_is_said(real):
    with pytest.raises(MMBenchError, match="target 0 has no claims"):
        value(None, real.pictures[:1], real.pictures[:1])
    with pytest.raises(MMBenchError, match="1 predictions, 2 targets"):
        value(None, real.pictures[:1], real.targets[:2])
    unplaced = {"objects": [{"shape": "star"}], "relations": [], "count": None}
    with pytest.raises(ToolError, match="none of the 1 captions claims a place"):
        value("place", real.pictures[:1], [{"image": real.pictures[0], "claims": unplaced}])

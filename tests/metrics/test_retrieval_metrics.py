import json

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import (
    retrieval_r_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from mmbench.data.right_items import read_positives
from mmbench.errors import MMBenchError
from mmbench.metrics.positives import (
    Positives,
    matching_positives,
    positives_by_id,
)
from mmbench.metrics.ranking import ABSENT, Embeddings, ScoreMatrix, rank_both, rank_positives
from mmbench.metrics.retrieval import (
    RSUM,
    MAPAtR,
    MeanRank,
    MeanReciprocalRank,
    MedianRank,
    RecallAtK,
    RPrecision,
    TrueRecallAtK,
)


def value(metric, ranks, targets=None) -> float:
    return metric.aggregate(metric.statistics(ranks, targets or [None] * len(ranks)))


def naive(scores: np.ndarray, right: list[list[int]]) -> list[list[int]]:
    """A full sort of every row in which wrong items stand before right ones of the same score."""
    ranks = []
    for row, items in zip(scores, right, strict=True):
        is_right = np.isin(np.arange(len(row)), items)
        order = np.lexsort((is_right, -row))
        ranks.append((np.flatnonzero(is_right[order]) + 1).tolist())
    return ranks


@st.composite
def problems(draw):
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 9))
    seed, levels = draw(st.integers(0, 10**6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(seed)
    right = rng.random((rows, columns)) < 0.3
    right[np.arange(rows), rng.integers(columns, size=rows)] = True
    right[rng.integers(rows, size=columns), np.arange(columns)] = True
    return rng.integers(levels, size=(rows, columns)).astype(np.float64), right


def lists(right: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in right]


@settings(max_examples=300, deadline=None)
@given(problems())
def test_ranks_by_counting_are_those_of_a_full_sort_in_both_directions(problem):
    scores, right = problem
    of_rows = Positives.of(lists(right), scores.shape[1])
    of_columns = Positives.of(lists(right.T), scores.shape[0])
    rows, columns = rank_both(ScoreMatrix(scores), of_rows, of_columns)
    assert [r.tolist() for r in rows] == naive(scores, lists(right))
    assert [r.tolist() for r in columns] == naive(scores.T, lists(right.T))
    alone = rank_positives(ScoreMatrix(scores), of_rows)
    assert [r.tolist() for r in alone] == [r.tolist() for r in rows]


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from(["cosine", "dot"]))
def test_embeddings_rank_as_their_score_matrix(problem, similarity):
    values, right = problem
    rng = np.random.default_rng(int(values.sum()))
    rows, columns = (rng.integers(1, 4, size=(n, 5)).astype(np.float64) for n in right.shape)
    a, b = rows, columns
    if similarity == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, columns))
    scores = np.round(a @ b.T, 9)  # equal scores must be equal
    ours, _ = rank_both(
        Embeddings(rows, columns, similarity),
        Positives.of(lists(right), right.shape[1]),
        Positives.of(lists(right.T), right.shape[0]),
    )
    expected = naive(scores, lists(right))
    if similarity == "dot":
        assert [r.tolist() for r in ours] == expected
    else:  # near-ties of a cosine may fall either way
        strict = [(row > row[i] + 1e-8).sum() for row, i in zip(scores, first(right), strict=True)]
        assert all(r.max() > s for r, s in zip(ours, strict, strict=True))


def first(right: np.ndarray) -> list[int]:
    return [int(np.flatnonzero(row)[0]) for row in right]


def test_large_embeddings_in_tiles_rank_as_the_whole_matrix():
    rng = np.random.default_rng(0)
    images, captions = (rng.normal(size=(n, 16)) for n in (700, 3500))
    image_of = np.arange(3500) // 5
    ours = rank_both(
        Embeddings(images, captions, "dot"),
        matching_positives(range(700), image_of.tolist()),
        matching_positives(image_of.tolist(), range(700)),
    )
    scores = images @ captions.T
    right = image_of[None] == np.arange(700)[:, None]
    assert [r.tolist() for r in ours[0]] == naive(scores, lists(right))
    assert [r.tolist() for r in ours[1]] == naive(scores.T, lists(right.T))


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_model_that_cannot_tell_items_apart_earns_nothing(similarity):
    same = np.random.default_rng(0).normal(size=(1, 33)).astype(np.float32).repeat(200, 0)
    ranks, _ = rank_both(
        Embeddings(same, same, similarity),
        matching_positives(range(200), range(200)),
        matching_positives(range(200), range(200)),
    )
    assert {r.tolist()[0] for r in ranks} == {200}
    assert value(RecallAtK(10), ranks) == 0


def test_recall_of_visionmetrics_cases(published):
    cases = json.loads((published / "published_cases.json").read_text())
    for case in cases["retrieval_visionmetrics"]["cases"]:
        right = [np.flatnonzero(row).tolist() for row in case["targets"]]
        scores = np.array(case["scores"])
        ranks = rank_positives(ScoreMatrix(scores), Positives.of(right, scores.shape[1]))
        for k, expected in enumerate(case["recall_at_1_to_5"], start=1):
            assert value(TrueRecallAtK(k), ranks) == pytest.approx(expected, abs=1e-5)


def test_recall_of_mmfs_case(published):
    cases = json.loads((published / "published_cases.json").read_text())
    scores = np.tile(2.0 * np.arange(100), (10, 1))
    for row in range(1, 10):
        scores[row, 99] = 2 * 99 - 1 - 2 * (row + 2)
    ranks = rank_positives(ScoreMatrix(scores), Positives.of([[99]] * 10, 100))
    for name, expected in cases["recall_mmf"]["expected"].items():
        assert value(RecallAtK(int(name.removeprefix("R@"))), ranks) == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
@example(379, 1)  # the only right item has the lowest score
def test_metrics_of_one_query_are_torchmetrics(seed, k):
    rng = np.random.default_rng(seed)
    scores = 1.0 + rng.permutation(20)  # torchmetrics takes what scores 0 for not retrieved
    right = rng.random(20) < 0.3
    right[rng.integers(20)] = True
    ranks = rank_positives(ScoreMatrix(scores[None]), Positives.of(lists(right[None]), 20))
    p, t = torch.from_numpy(scores), torch.from_numpy(right)
    assert value(TrueRecallAtK(k), ranks) == pytest.approx(float(retrieval_recall(p, t, top_k=k)))
    assert value(MeanReciprocalRank(), ranks) == pytest.approx(
        float(retrieval_reciprocal_rank(p, t))
    )
    assert value(RPrecision(), ranks) == pytest.approx(float(retrieval_r_precision(p, t)))


def test_map_at_r_by_hand():
    # ranks 1 and 3 of R = 3: (1/1 + 2/3) / 3
    assert value(MAPAtR(), [[1, 3, 8]]) == pytest.approx((1 + 2 / 3) / 3)


def test_recall_counts_an_item_with_five_captions_once():
    assert value(RecallAtK(5), [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]) == 0.5


def test_a_metric_of_a_direction_leaves_the_others_out():
    ranks = [[1], [2], [30], [4]]
    directions = ["image_to_text", "image_to_text", "text_to_image", "text_to_image"]
    assert value(MeanRank("image_to_text"), ranks, directions) == 1.5
    assert value(MedianRank("text_to_image"), ranks, directions) == 17
    assert value(RSUM(), ranks, directions) == 50 + 100 + 100 + 0 + 50 + 50
    with pytest.raises(MMBenchError, match="several directions"):
        value(RecallAtK(1), ranks, directions)


@pytest.mark.parametrize("metric", [RecallAtK(5), MedianRank(), MAPAtR()])
def test_resampling_is_the_metric_of_the_drawn_queries(metric):
    rng = np.random.default_rng(0)
    ranks = [sorted(rng.choice(20, size=3, replace=False) + 1) for _ in range(12)]
    statistics = metric.statistics(ranks, [None] * 12)
    groups = np.arange(12) // 3
    weights = rng.multinomial(4, [0.25] * 4, size=20).astype(float)
    drawn = [
        value(metric, [ranks[i] for i in range(12) for _ in range(int(w[groups[i]]))])
        for w in weights
    ]
    assert metric.resample(statistics, weights, groups) == pytest.approx(drawn)


@pytest.mark.parametrize("name", ["eccv", "cxc", "original"])
def test_published_right_items_are_read_and_ranked(published, request, name):
    folder = published / "eccv_caption_data"
    if name != "eccv":
        folder = request.getfixturevalue("shared_data") / "metric_cases" / "eccv_caption_data"
    right = read_positives(folder / f"{name}_caption_to_image.json")
    back = read_positives(folder / f"{name}_image_to_caption.json")
    if name == "original":
        assert len(right) == sum(map(len, right.values())) == 25000
    images = sorted({i for items in right.values() for i in items} | set(back))
    asked = sorted(right)
    positives = positives_by_id(right, asked, images)
    # A model that knows the truth: its score is whether the item is right.
    scores = np.zeros((300, len(images)), np.float32)
    for row, query in enumerate(asked[:300]):
        scores[row, [images.index(i) for i in right[query]]] = 1
    part = positives_by_id(right, asked[:300], images)
    ranks = rank_positives(ScoreMatrix(scores), part)
    assert value(MAPAtR(), ranks) == value(RPrecision(), ranks) == 1
    assert len(positives) == len(asked)


def test_right_items_that_the_gallery_lacks_are_never_retrieved():
    right = {1: [10, 99], 2: [20]}
    with pytest.raises(MMBenchError, match=r"1 right items are not in the gallery \(99\)"):
        positives_by_id(right, [1, 2], [10, 20])
    positives = positives_by_id(right, [1, 2], [10, 20], allow_absent=True)
    ranks = rank_positives(ScoreMatrix([[1.0, 0], [0, 1]]), positives)
    assert [r.tolist() for r in ranks] == [[1, ABSENT], [1]]
    assert value(TrueRecallAtK(1), ranks) == 0.75


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ScoreMatrix([[1.0, float("nan")]]), "scores hold 1 values that are NaN"),
        (lambda: ScoreMatrix(np.zeros((0, 3))), "scores are empty"),
        (lambda: ScoreMatrix([1.0, 2.0]), "must be a matrix"),
        (lambda: Embeddings([[1.0, np.inf]], [[1.0, 2.0]]), "row embeddings hold 1 values"),
        (lambda: Embeddings([[1.0, 2.0]], [[1.0]]), "the same width"),
        (lambda: Embeddings([[0.0, 0.0]], [[1.0, 0.0]]), "1 row embeddings are zero"),
        (lambda: Positives.of([[0], []], 3), "have no right item"),
        (lambda: Positives.of([[3]], 3), "outside the gallery"),
        (lambda: Positives.of([[1, 1]], 3), "named twice"),
        (lambda: matching_positives(["a"], ["b"]), "match nothing"),
        (
            lambda: rank_positives(ScoreMatrix([[1.0, 2.0]]), Positives.of([[0]], 3)),
            "but the scores are of 1 over 2",
        ),
    ],
)
def test_what_cannot_be_ranked_is_explained(make, says):
    with pytest.raises(MMBenchError, match=says):
        make()

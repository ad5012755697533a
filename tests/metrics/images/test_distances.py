"""Frechet distance, KID, Inception score and PRDC on arrays, against reference implementations."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as TorchInceptionScore
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from mmbench.errors import MMBenchError
from mmbench.metrics.images import frechet
from mmbench.metrics.images.device_distance import FrechetOnDevice
from mmbench.metrics.images.distance import frechet_distance, frechet_from_features
from mmbench.metrics.images.inception_score import inception_score
from mmbench.metrics.images.kid import kid
from mmbench.metrics.images.moments import Moments
from mmbench.metrics.images.prdc import prdc

seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=40)


class Flat(nn.Module):
    """Features that are the image's own pixels, scaled: (B, 3, h, w) uint8 -> (B, 3 h w)."""

    num_features = 48

    def forward(self, images):
        return images.flatten(1).double() / 255


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (60, 3, 4, 4), dtype=np.uint8)
    return real, (rng.integers(0, 200, (60, 3, 4, 4))).astype(np.uint8)


def features(images):
    return images.reshape(len(images), -1) / 255


def covariance(rows):
    return np.atleast_2d(np.cov(rows, rowvar=False))


def by_sqrtm(m1, s1, m2, s2):
    return ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2)).real


@quick
@given(seeds, st.integers(1, 40))
def test_frechet_distance_is_that_of_scipys_sqrtm(seed, width):
    rng = np.random.default_rng(seed)
    sets = [rng.standard_normal((4 * width + 20, width)) * rng.uniform(0.5, 2) for _ in "12"]
    moments = [m for x in sets for m in (x.mean(0), covariance(x))]
    expected = by_sqrtm(*moments)
    scale = np.trace(moments[1])
    assert frechet_distance(*moments) == pytest.approx(expected, rel=1e-6, abs=1e-9 * scale)
    assert frechet_from_features(*sets) == pytest.approx(expected, rel=1e-6, abs=1e-9 * scale)


@quick
@given(seeds, st.integers(2, 12), st.integers(2, 30), st.integers(1, 64))
def test_few_images_give_the_distance_of_their_singular_covariances(seed, real, other, width):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((real, width)), rng.standard_normal((other, width)) + 1
    moments = [m for x in (a, b) for m in (x.mean(0), covariance(x))]
    assert frechet_from_features(a, b) == pytest.approx(frechet_distance(*moments), rel=1e-6)
    # Frechet distances are squared metrics: the same either way round.
    assert frechet_from_features(b, a) == pytest.approx(frechet_from_features(a, b), rel=1e-6)


def test_frechet_distance_of_a_singular_covariance_has_its_closed_form():
    # Both live on the first axis alone, where the distance is (sd1 - sd2)^2.
    s1, s2 = np.zeros((2, 5, 5))
    s1[0, 0], s2[0, 0] = 9, 4
    assert frechet_distance(np.zeros(5), s1, np.zeros(5), s2) == pytest.approx(1)
    assert frechet_distance(np.zeros(5), s1, np.zeros(5), np.zeros((5, 5))) == pytest.approx(9)
    assert frechet_distance(np.zeros(5), np.zeros((5, 5)), np.zeros(5), s1) == pytest.approx(9)


def test_published_cases_of_pytorch_fid(published):
    path = published / "published_cases.json"
    gaussians, statistics = json.loads(path.read_text())["fid_pytorch_fid"]["cases"]
    eye = np.eye(2048)
    value = frechet_distance(np.zeros(2048), eye, np.ones(2048), eye)
    assert value == pytest.approx(gaussians["fid"], rel=1e-9)
    assert statistics["mu"] == "0.5*ones(3)"
    assert statistics["sigma"] == "0.25*ones((3,3))"
    moments = Moments()
    for image in (np.full((4, 4, 3), v) for v in (0.0, 0.5, 1.0)):
        moments.add(image.mean(axis=(0, 1))[None])
    assert moments.mean == pytest.approx(0.5 * np.ones(3), abs=statistics["atol"])
    assert moments.covariance == pytest.approx(0.25 * np.ones((3, 3)), abs=statistics["atol"])


def test_fid_of_torchmetrics(images):
    real, other = images
    theirs = FrechetInceptionDistance(feature=Flat(), input_img_size=(3, 4, 4)).set_dtype(
        torch.float64
    )
    theirs.update(torch.from_numpy(real), real=True)
    theirs.update(torch.from_numpy(other), real=False)
    ours = frechet_from_features(features(real), features(other))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-6)


def test_identical_sets_have_no_distance(images):
    same = features(images[0])
    assert frechet_from_features(same, same) == pytest.approx(0, abs=1e-10)
    assert frechet_from_features(same[:20], same[:20]) == pytest.approx(0, abs=1e-10)
    assert kid(same, same) < 0  # unbiased, and the cross terms hold each image with itself
    assert {name: v.mean() for name, v in prdc(same, same).items() if name != "density"} == {
        "precision": 1,
        "recall": 1,
        "coverage": 1,
    }


def test_weights_count_rows_as_often_as_they_are_repeated(images):
    rng = np.random.default_rng(1)
    a, b = features(images[0]), features(images[1])
    drawn = rng.integers(0, 3, (2, 60))
    repeated = frechet_from_features(np.repeat(a, drawn[0], axis=0), np.repeat(b, drawn[1], axis=0))
    weighted = frechet_from_features(a, b, *drawn.astype(float))
    assert weighted == pytest.approx(repeated, rel=1e-9)


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("real", "generated", "width"),
    [(120, 90, 20), (90, 120, 24), (9, 7, 64)],
    ids=["more than features", "most generated", "few"],
)
def test_the_frechet_distance_on_a_device_is_that_of_numpy(real, generated, width):
    rng = np.random.default_rng(width)
    a, b = rng.standard_normal((real, width)), rng.standard_normal((generated, width)) * 2 + 1
    on_device = FrechetOnDevice(a, b, CPU)
    for _ in range(5):
        drawn = rng.integers(0, 4, real).astype(float), rng.integers(1, 3, generated).astype(float)
        assert on_device(*drawn) == pytest.approx(frechet_from_features(a, b, *drawn), rel=1e-9)


def test_the_frechet_distance_of_singular_covariances_on_a_device_is_that_of_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50, 6))
    a[:, 4:] = b[:, :1] = 0
    few = rng.standard_normal((4, 6))
    for real, other in ((a, b), (b, a), (a, few), (few, b), (np.zeros((5, 3)), a[:, :3])):
        ones = np.ones(len(real)), np.ones(len(other))
        expected = frechet_from_features(real, other)
        # Eigenvalues of zero come out as 1e-16, and a root of that is 1e-8, in numpy too.
        assert FrechetOnDevice(real, other, CPU)(*ones) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("rows", [12, 200])
def test_replicates_on_a_device_are_those_of_the_cpu(monkeypatch, rows):
    rng = np.random.default_rng(rows)
    statistics = rng.standard_normal((rows, 2 * 32))
    statistics[rows - 2 :, 32:] = np.nan  # the real set has two images fewer
    weights, groups = (
        rng.multinomial(rows, np.full(rows, 1 / rows), 8).astype(float),
        np.arange(rows),
    )
    weights[7] = 0
    weights[7, 0] = rows - 1  # of one image alone there is a distance all the same
    weights[6] = 0  # of none there is not
    metric = frechet.FrechetDistance("efficientnet_lite0")
    alone = metric.resample(statistics, weights, groups)
    monkeypatch.setattr(frechet, "float64_gpu", lambda: CPU)
    beside = metric.resample(statistics, weights, groups)
    assert np.isnan(alone[6])
    assert beside == pytest.approx(alone, rel=1e-9, nan_ok=True)


@quick
@given(seeds, st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 6))
def test_streamed_moments_are_those_of_numpy(seed, sizes, width):
    rng = np.random.default_rng(seed)
    batches = [rng.standard_normal((size, width)) + 1e4 for size in [*sizes, 2]]
    moments, rest = Moments(), Moments()
    moments.add(batches[0])
    for batch in batches[1:]:
        rest.add(batch.astype(np.float64))
    moments.merge(rest)
    rows = np.concatenate(batches)
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, covariance(rows), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Moments().add(np.array([[1.0], [np.nan]])), "1 of 2 images .* first at row 1"),
        (lambda: Moments().add(np.zeros(3)), "shape"),
        (lambda: Moments().mean, "no features"),
        (lambda: Moments().covariance, "2 images or more"),
        (lambda: frechet_from_features(np.zeros((1, 2)), np.zeros((3, 2))), "2 real images"),
        (lambda: frechet_from_features(np.zeros((3, 2)), np.zeros((3, 4))), "one width"),
        (lambda: frechet_distance(np.zeros(2), np.eye(3), np.zeros(2), np.eye(2)), "one width"),
        (
            lambda: frechet_distance(np.zeros(2), np.full((2, 2), np.inf), np.zeros(2), np.eye(2)),
            "NaN or infinite",
        ),
        (lambda: kid(np.zeros((1, 2)), np.zeros((3, 2))), "2 images or more"),
        (lambda: kid(np.zeros((3, 3)), np.zeros((3, 2))), "one width"),
        (lambda: prdc(np.zeros((5, 2)), np.zeros((6, 2))), "more than 5 images"),
        (lambda: prdc(np.zeros((9, 1)), np.zeros((9, 2))), "one width"),
        (lambda: inception_score(np.full((20, 4), 0.3)), "sum to 1"),
        (lambda: inception_score(np.full((5, 4), 0.25)), "10 splits"),
    ],
)
def test_what_cannot_be_compared_is_said(call, message):
    with pytest.raises(MMBenchError, match=message):
        call()


def test_adding_another_width_is_refused():
    moments = Moments()
    moments.add(np.zeros((2, 3)))
    with pytest.raises(MMBenchError, match="2 columns cannot join features of 3"):
        moments.add(np.zeros((2, 2)))


@quick
@given(seeds, st.integers(1, 20), st.integers(2, 40))
def test_kid_is_torchmetrics_polynomial_mmd(seed, width, count):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, count, width))
    expected = float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))
    assert kid(a, b) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_kid_of_torchmetrics_over_whole_sets(images):
    theirs = KernelInceptionDistance(feature=Flat(), subsets=2, subset_size=60)
    theirs.update(torch.from_numpy(images[0]), real=True)
    theirs.update(torch.from_numpy(images[1]), real=False)
    mean, _ = theirs.compute()
    ours = kid(features(images[0]), features(images[1]), subsets=2, subset_size=60)
    assert ours == pytest.approx(float(mean), rel=1e-6)


def test_kid_over_subsets_estimates_kid_over_all_images():
    rng = np.random.default_rng(0)
    real, other = rng.standard_normal((400, 8)), rng.standard_normal((300, 8)) + 0.5
    whole = float(poly_mmd(torch.from_numpy(real[:300]), torch.from_numpy(other)))
    parts = [kid(real, other, subsets=50, subset_size=100, seed=s) for s in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert parts[0] == pytest.approx(whole, rel=0.2)


def test_inception_score_of_torchmetrics_and_its_splits():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((40, 6)) * 3

    class Logits(nn.Module):
        def forward(self, rows):
            return rows

    theirs = TorchInceptionScore(feature=Logits(), splits=1)
    theirs.update(torch.from_numpy(logits))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    whole, _ = theirs.compute()
    assert inception_score(p, splits=1) == pytest.approx(float(whole), rel=1e-6)
    parts = [inception_score(p[start : start + 10], splits=1) for start in range(0, 40, 10)]
    assert inception_score(p, splits=4) == pytest.approx(np.mean(parts), rel=1e-12)
    assert inception_score(np.full((10, 5), 0.2), splits=2) == pytest.approx(1)


@quick
@given(seeds, st.integers(6, 25), st.integers(6, 25), st.integers(1, 5))
def test_prdc_is_its_definition(seed, n, m, k):
    rng = np.random.default_rng(seed)
    real, other = rng.standard_normal((n, 3)), rng.standard_normal((m, 3)) + rng.uniform(0, 2)

    def distance(x, y):
        return sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) ** 0.5

    def radius(i, rows):
        return sorted(distance(rows[i], y) for j, y in enumerate(rows) if j != i)[k - 1]

    balls, others = [radius(i, real) for i in range(n)], [radius(j, other) for j in range(m)]
    inside = [[distance(real[i], other[j]) < balls[i] for j in range(m)] for i in range(n)]
    expected = {
        "precision": [any(inside[i][j] for i in range(n)) for j in range(m)],
        "recall": [any(distance(x, other[j]) < others[j] for j in range(m)) for x in real],
        "density": [sum(inside[i][j] for i in range(n)) / k for j in range(m)],
        "coverage": [any(inside[i]) for i in range(n)],
    }
    found = prdc(real, other, k)
    assert {name: values.tolist() for name, values in found.items()} == expected


def test_a_generator_of_one_image_covers_little():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((50, 8))
    found = {name: v.mean() for name, v in prdc(real, np.tile(real[:1], (50, 1))).items()}
    assert found["precision"] == 1
    assert found["recall"] == 0
    assert found["coverage"] < 0.5

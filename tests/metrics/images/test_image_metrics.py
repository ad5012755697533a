"""Metrics of generated images against scipy, torchmetrics, published values and plain loops."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.linalg import sqrtm

import mmbench
from mmbench.data.image_folder import read_image_folder
from mmbench.errors import MMBenchError
from mmbench.metrics.images.distance import frechet_distance
from mmbench.metrics.images.frechet import FrechetDistance
from mmbench.metrics.images.inception_score import inception_score
from mmbench.metrics.images.kid import kid
from mmbench.metrics.images.moments import Moments
from mmbench.metrics.images.prdc import prdc


def gaussian(seed: int, width: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(width, rank))
    return rng.normal(size=width), factor @ factor.T / rank


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_frechet_distance_equals_the_one_by_scipys_sqrtm(seed, width):
    (m1, s1), (m2, s2) = gaussian(seed, width, 3 * width), gaussian(seed + 1, width, 3 * width)
    expected = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet_distance(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-6)


def test_published_case_of_pytorch_fid():
    eye = np.eye(2048)
    assert frechet_distance(np.zeros(2048), eye, np.ones(2048), eye) == pytest.approx(2048)


@pytest.mark.parametrize("rank", [1, 5, 19])
def test_singular_covariances_have_a_distance(rank):
    (m1, s1), (m2, s2) = gaussian(0, 20, rank), gaussian(1, 20, 60)
    root = sqrtm(sqrtm(s2) @ s1 @ sqrtm(s2)).real
    expected = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * root)
    assert frechet_distance(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(m1, s1, m1, s1) == pytest.approx(0, abs=1e-6)


def test_moments_in_batches_are_those_of_the_whole():
    rows = np.random.default_rng(0).normal(size=(100, 6)) + 1e4
    moments = Moments()
    for start in range(0, 100, 7):
        moments.add(rows[start : start + 7])
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T), rtol=1e-9)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=0), rtol=1e-12)


def test_kernel_distance_equals_torchmetrics_on_one_subset():
    import torch
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(50, 8)), rng.normal(size=(50, 8)) + 0.3
    expected = poly_mmd(torch.from_numpy(real), torch.from_numpy(fake)).item()
    assert kid(real, fake, subsets=1, subset_size=50) == pytest.approx(expected, abs=1e-9)


def test_inception_score_is_that_of_its_definition():
    p = np.random.default_rng(0).dirichlet(np.ones(7), size=40)
    divergence = (p * np.log(p / p.mean(axis=0))).sum(axis=1)
    assert inception_score(p, splits=1) == pytest.approx(np.exp(divergence.mean()))


def test_precision_recall_density_and_coverage_are_those_of_plain_loops():
    rng = np.random.default_rng(0)
    real, fake, k = rng.normal(size=(30, 3)), rng.normal(size=(25, 3)) + 0.5, 3

    def far(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=-1)

    radius = np.sort(far(real, real), axis=1)[:, k]
    other = np.sort(far(fake, fake), axis=1)[:, k]
    inside = far(real, fake) < radius[:, None]
    found = {name: values.mean() for name, values in prdc(real, fake, k).items()}
    assert found == pytest.approx(
        {
            "precision": inside.any(axis=0).mean(),
            "recall": (far(real, fake) < other[None]).any(axis=1).mean(),
            "density": inside.sum() / k / len(fake),
            "coverage": inside.any(axis=1).mean(),
        }
    )


@pytest.fixture
def folders(tmp_path):
    """Twelve smooth images, and eight others, as PNG."""
    rng = np.random.default_rng(0)
    for name, number, light in (("real", 12, 0), ("fake", 8, 60)):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(number):
            pixels = rng.integers(0, 190, (4, 4, 3)).astype(np.uint8) + light
            Image.fromarray(pixels.astype(np.uint8)).resize((64, 64)).save(folder / f"{i}.png")
    return tmp_path


def test_folders_are_scored_on_named_features_and_few_images_are_noted(folders):
    result = mmbench.score("generation", folders / "fake", folders / "real", out=folders / "out")
    values = {m.name: m.value for m in result.record.metrics}
    assert values["fd_efficientnet_lite0"] > 1
    assert result.record.metrics[0].interval.replicates < 1000
    assert result.record.samples == 8
    assert any("1280" in note for note in result.record.notes), result.record.notes
    same = mmbench.score("generation", folders / "real", folders / "real", out=folders / "out")
    assert same.value == pytest.approx(0, abs=1e-6)


def test_fid_is_refused_on_other_features():
    with pytest.raises(MMBenchError, match=r"[Ii]nception"):
        FrechetDistance("efficientnet_lite0", name="fid")


def test_fid_without_inception_weights_says_what_is_needed(folders, monkeypatch):
    monkeypatch.setenv("MMBENCH_INCEPTION_WEIGHTS", str(folders / "absent.pth"))
    with pytest.raises(MMBenchError, match=r"absent\.pth"):
        mmbench.score("generation", folders / "fake", folders / "real", metrics=["fid"])


def test_truncated_image_is_named(folders):
    path = folders / "fake" / "3.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MMBenchError, match=r"1 of 8 images cannot be read: 3\.png"):
        read_image_folder(folders / "fake")
    (folders / "empty").mkdir()
    with pytest.raises(MMBenchError, match="holds no images"):
        read_image_folder(folders / "empty")
    with pytest.raises(MMBenchError, match="is no folder of images"):
        read_image_folder(folders / "absent")
    assert json.dumps(read_image_folder(folders / "real").names[:2]) == '["0.png", "1.png"]'

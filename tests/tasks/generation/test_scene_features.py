"""Distances between sets of pictures on the recogniser's features."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mmbench.metrics.images.features import extract_features
from mmbench_tasks.generation.features import SceneFeatures, fd_scenes, kid_scenes
from mmbench_tasks.generation.recogniser import WEIGHTS


@pytest.mark.parametrize("metric", [fd_scenes(), kid_scenes()], ids=lambda metric: metric.name)
def test_the_distance_grows_as_pictures_get_worse(scenes, real, metric):
    others = scenes("validation", 100).pictures
    blurred = [
        [Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)) for picture in others]
        for radius in (1.5, 2.5)
    ]
    sets = [list(others), *blurred, [np.full((32, 32, 3), 40, np.uint8)] * 100]
    values = [metric.aggregate(metric.statistics(made, real.targets)) for made in sets]
    assert values == sorted(values)
    assert values[0] < values[1] / 2


def test_objects_that_are_all_alike_are_told_from_varied_ones(scenes, real):
    others = scenes("validation", 300)
    red = [
        p for p, o in zip(others.pictures, others.objects, strict=True) if o[0]["colour"] == "red"
    ]
    metric = fd_scenes()
    varied = metric.aggregate(metric.statistics(others.pictures[: len(red)], real.targets))
    assert metric.aggregate(metric.statistics(red, real.targets)) > 1.3 * varied


def test_the_features_are_named_and_finite(real):
    features = extract_features(real.pictures[:40], SceneFeatures())
    assert features.shape == (40, SceneFeatures.width)
    assert np.isfinite(features).all()
    assert features.std(axis=0).min() > 0
    assert fd_scenes().signature == (
        f"fd_scenes|features:scenes|weights:{WEIGHTS}|preprocessing:pil_box_32"
        "|covariance:unbiased|v:1"
    )

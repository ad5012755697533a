"""Real pictures of scenes with what is known of them, made without the cache."""

from dataclasses import dataclass

import numpy as np
import pytest

from mmbench.scenes.build import scene_pictures, scene_text

FEW_SCENES = """
tasks:
  generation:
    layout: {reader: scenes, claims: true}
    metrics: [faithfulness, faithfulness_colour, fd_scenes]
summary: a few scenes
homepage: https://example.org
licence: Apache-2.0
citation: "@misc{x, author = {A}, title = {T}, year = {2026}}"
layout: {reader: scenes}
image_size: 64
splits:
  train: {part: validation, first: 96}
  validation: {part: test, first: 32}
  test: {part: test, first: 24}
"""


@dataclass(frozen=True)
class Real:
    pictures: np.ndarray  # (N, 32, 32, 3)
    prompts: list[str]
    claims: list[dict]
    objects: list[list[dict]]

    @property
    def targets(self):
        return [{"image": p, "claims": c} for p, c in zip(self.pictures, self.claims, strict=True)]


def real_scenes(split, count=200, size=32):
    index = np.arange(count)
    told = scene_text(split, index)
    return Real(
        scene_pictures(split, size, index)["pixels"],
        [texts[0] for texts in told["texts"]],
        [claims[0] for claims in told["claims"]],
        told["objects"],
    )


@pytest.fixture(scope="session")
def scenes():
    """Real scenes: `scenes(split, count, size)`."""
    return real_scenes


@pytest.fixture(scope="session")
def real():
    """100 scenes of the test split."""
    return real_scenes("test", 100)


@pytest.fixture(scope="session")
def few(tmp_path_factory):
    path = tmp_path_factory.mktemp("few") / "few_scenes.yaml"
    path.write_text(FEW_SCENES)
    return str(path)

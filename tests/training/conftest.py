"""A few scenes on which every task trains within seconds, and small models of every task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmbench import registry
from mmbench.recipe import load_recipe

SMALL = """
tasks:
  retrieval: {metrics: [text_to_image_recall_at_1]}
  captioning: {metrics: [cider]}
  vqa: {}
  generation: {layout: {reader: scenes, claims: true}, metrics: [faithfulness]}
summary: a few scenes
homepage: made
licence: Apache-2.0
citation: see scenes
layout: {reader: scenes}
image_size: 32
encoders: {image: {channels: [8, 16]}}
splits:
  train: {part: validation, first: 48}
  validation: {part: test, first: 12}
  test: {part: test, first: 12}
"""
QUICK = {"width": 16, "train.epochs": 2, "train.batch": 16}
DECODER = {
    "name": "image_tokens",
    "layers": 1,
    "autoencoder": {"width": 16, "latent": 8, "codebook": 32, "epochs": 1, "batch": 16},
}


@pytest.fixture(scope="session")
def scenes_file(tmp_path_factory) -> str:
    """The path of a dataset for all four tasks: 48 scenes to train on, 12 to test on."""
    path = Path(tmp_path_factory.mktemp("scenes"), "few_scenes.yaml")
    path.write_text(SMALL)
    return str(path)


def quick(task: str) -> dict:
    """Overrides that make a recipe small."""
    return QUICK | ({"decoder": DECODER} if task == "generation" else {})


@pytest.fixture
def small_model(scenes_file):
    """`small_model(task)`: a task, a small model of it, and its training samples."""

    def build(name: str, recipe: str = "gated_fusion", **overrides):
        task = registry.load("tasks", name)()
        spec = task.dataset(scenes_file)
        resolved = task.resolve(load_recipe(recipe, quick(name) | overrides), spec)
        samples = task.load(task.adapt(spec, resolved), "train")
        torch.manual_seed(0)
        model = task.build(resolved, task.assets(samples))
        return task, model, samples

    return build

"""Small datasets of generated scenes, on which models are trained within seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

SMALL = """
tasks:
  retrieval: {{metrics: [{metrics}]}}
  captioning: {{metrics: [cider]}}
summary: a few {medium}s
homepage: made
licence: Apache-2.0
citation: see {dataset}
modalities: [{medium}]
layout: {{reader: {dataset}}}
encoders: {{{medium}: {{channels: [8, 16]}}}}
splits:
  train: {{part: validation, first: 120}}
  validation: {{part: test, first: 24}}
  test: {{part: test, first: 30}}
"""
DATASETS = {"image": "scenes", "video": "scenes_video", "audio": "scenes_audio"}
RECALL = "text_to_{medium}_recall_at_1, {medium}_to_text_recall_at_5"


@pytest.fixture(scope="session")
def small_scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By medium, the path of the YAML file of a small dataset: 120 to train on, 30 to test on."""
    folder = tmp_path_factory.mktemp("scenes")
    paths = {}
    for medium, dataset in DATASETS.items():
        text = SMALL.format(medium=medium, dataset=dataset, metrics=RECALL.format(medium=medium))
        if medium == "audio":
            text = text.replace("{channels: [8, 16]}", "{layers: 1}")
        path = Path(folder, f"few_{medium}s.yaml")
        path.write_text(text)
        paths[medium] = str(path)
    return paths

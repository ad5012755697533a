"""`train.dropout`: in training, features of encoded streams are dropped."""

import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.objectives.weighted import WeightedObjectives
from tests.training.conftest import QUICK

TASK = Stage(name="task", objective="task")


@pytest.mark.parametrize("task", registry.names("tasks"))
def test_features_are_dropped_in_training_and_not_when_it_answers(small_model, task):
    _, model, samples = small_model(task)
    WeightedObjectives(TASK, model, Train()).prepare(model, samples)
    batch = model.collate([sample.query for sample in samples[:8]])
    modality = next(name for name in model.encoders if model.holds(name, batch))
    model.dropout = 0.5
    try:
        dropped = model.train().stream(modality, batch).tokens
        assert 0.3 < (dropped == 0).float().mean() < 0.7
        model.eval()
        with torch.no_grad():
            answering = model.stream(modality, batch).tokens
            model.dropout = 0.0
            assert torch.equal(answering, model.stream(modality, batch).tokens)
    finally:
        model.dropout = 0.0


def test_the_record_tells_of_it_and_equal_runs_are_equal(scenes_file, tmp_path):
    def run(folder, **overrides):
        options = {"dataset": scenes_file, "train": True, "overrides": QUICK | overrides}
        return mmbench.run("vqa", "concat_fusion", out=tmp_path / folder, **options).record

    plain, dropped, again = run("one"), *(run(f, **{"train.dropout": 0.5}) for f in ("one", "two"))
    assert dropped.identity.settings["train.dropout"] == 0.5
    assert "train.dropout" not in plain.identity.settings
    weights = [r.files["weights.safetensors"] for r in (plain, dropped, again)]
    assert weights[1] == weights[2] != weights[0]

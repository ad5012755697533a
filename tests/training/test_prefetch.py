import threading

import pytest
import torch

from mmbench.experiments.watch import SILENT
from mmbench.prefetch import prefetched
from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.loop import fit
from mmbench.training.objectives.weighted import WeightedObjectives


@pytest.mark.parametrize("name", ["captioning", "retrieval", "vqa"])
def test_batches_made_ahead_give_the_same_bytes(small_model, tmp_path, name):
    def trained(prefetch):
        _, model, samples = small_model(name)
        settings = Train(epochs=2, batch=16)
        objectives = WeightedObjectives(Stage(name="task", objective="task"), model, settings)
        objectives.prepare(model, samples)
        fit(
            model,
            objectives,
            samples,
            settings,
            lambda: 0.0,
            seed=3,
            device=torch.device("cpu"),
            folder=tmp_path / str(prefetch),
            resume=False,
            watcher=SILENT,
            prefetch=prefetch,
        )
        return model.state_dict()

    ahead, in_turn = trained(True), trained(False)
    assert all(torch.equal(ahead[key], in_turn[key]) for key in in_turn)


def test_an_error_is_raised_where_the_item_is_asked_for():
    def items():
        yield 1
        raise RuntimeError("the second cannot be made")

    found = prefetched(items())
    assert next(found) == 1
    with pytest.raises(RuntimeError, match="the second"):
        next(found)


def test_whoever_stops_early_leaves_no_thread():
    before = threading.active_count()
    found = prefetched(iter(range(100)))
    next(found)
    found.close()
    assert threading.active_count() == before

"""One training by several processes: the losses and weights of one, to rounding."""

import json

import pytest

from tests.processes import launched, path_of, whole
from tests.training.conftest import SMALL

SCRIPT = path_of("tests.training.fit_here")
# Shares of 48 groups differ in size: 3 and 2 of a batch of 5, 2 and 1 of the last.
UNEVEN = {"train.batch": 5, "train.optimizer": "sgd", "train.lr": 0.05, "train.keep": "last"}
AT_ONCE = {"train.accumulate": 2, "train.label_smoothing": 0.1}  # of 4 processes, 3 groups are left


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`trained(count, task, overrides)`: losses by epoch, and norms of weights by name."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "few_scenes.yaml").write_text(SMALL)

    def call(count, task, overrides):
        own = folder / f"{task}-{count}"
        own.mkdir(exist_ok=True)
        chosen = json.dumps(overrides)
        whole(launched(count, SCRIPT, folder / "few_scenes.yaml", task, own / "log", chosen))
        found = json.loads((own / "log").read_text())
        return found["losses"], found["weights"]

    return call


@pytest.mark.parametrize(
    ("task", "count", "settings"),
    [
        # Of two processes that train, one is killed in tests/experiments/test_processes.py.
        pytest.param("vqa", 2, UNEVEN, marks=pytest.mark.whole),
        pytest.param("vqa", 4, UNEVEN | AT_ONCE, marks=pytest.mark.whole),
        pytest.param("captioning", 2, UNEVEN, marks=pytest.mark.whole),
    ],
)
def test_several_processes_train_as_one_does(trained, task, count, settings):
    losses, weights = trained(1, task, settings)
    of_several, weights_of_several = trained(count, task, settings)
    assert of_several == pytest.approx(losses, rel=1e-12)
    assert weights_of_several == pytest.approx(weights, rel=1e-9, abs=1e-12)
    assert losses[1] < losses[0]


def test_what_compares_samples_of_a_batch_is_refused(small_model):
    from mmbench.stages import Stage
    from mmbench.training.objectives.weighted import WeightedObjectives

    def why(task, *names):
        _, model, _ = small_model(task)
        stage = Stage(name="one", objective=list(names))
        from mmbench.recipe import Train

        return WeightedObjectives(stage, model, Train()).why_one_process(model)

    assert why("vqa", "task") == why("captioning", "task") == ""
    assert "compare the samples of a batch" in why("retrieval", "task")
    assert "nt_xent" in why("vqa", "nt_xent")
    assert "moco" in why("captioning", "task", "moco")

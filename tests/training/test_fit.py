"""What the settings of training do in the loop: accumulation, patience, averages, and a cut."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmbench.errors import MMBenchError
from mmbench.experiments.watch import Watch
from mmbench.recipe import Part, Train
from mmbench.stages import Stage
from mmbench.training import STATE_FILE
from mmbench.training.loop import fit
from mmbench.training.objectives.weighted import WeightedObjectives
from mmbench.training.stages import check_stages
from tests.training.test_optimizer import MUON

GROUPS = 48  # of the small dataset
TASK = Stage(name="task", objective="task")


class Follows(Watch):
    """Remembers epochs and rates; stops a training after one of them."""

    def __init__(self, stop=None):
        self.stop = stop
        self.entries = []

    def finished_epoch(self, entry):
        self.entries.append(entry)
        if entry["epoch"] == self.stop:
            raise KeyboardInterrupt


@pytest.fixture
def trained(small_model, tmp_path):
    """`trained(**settings)`: the model, how its training went, and who followed it."""

    def call(
        folder="one",
        scores=(),
        stop=None,
        resume=False,
        samples=60,
        alone=False,
        recipe="gated_fusion",
        **settings,
    ):
        settings = Train(**{"epochs": 4, "batch": 4} | settings)
        _, model, all_samples = small_model("vqa", recipe)
        each = list({sample.group: sample for sample in all_samples}.values())
        chosen = each if alone else all_samples[:samples]
        torch.manual_seed(1)
        objectives = WeightedObjectives(TASK, model, settings)
        objectives.prepare(model, chosen)
        left = list(scores)

        def score():
            if left:
                return left.pop(0)
            return sum(p.double().sum().item() for p in model.parameters())

        watch = Follows(stop)
        how = fit(
            *(model, objectives, chosen, settings, score),
            seed=3,
            device=torch.device("cpu"),
            folder=tmp_path / folder,
            resume=resume,
            watcher=watch,
        )
        return model, how, watch

    return call


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(ours[key], theirs[key]) for key in ours)


EVERYTHING = {"accumulate": 2, "ema": 0.9, "patience": 3, "keep": "last"}


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"optimizer": "adafactor"},
        pytest.param({"optimizer": "muon"}, marks=MUON),
        {"ema": 0.9},
        {"accumulate": 2},
        EVERYTHING,
    ],
    ids=str,
)
def test_a_training_that_was_cut_off_ends_in_the_same_bytes(trained, settings):
    settings = {"epochs": 3} | settings
    whole, how, _ = trained("whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        trained("cut", stop=2, **settings)
    cut, again, watch = trained("cut", resume=True, **settings)
    assert [entry["epoch"] for entry in watch.entries] == [3]
    assert same(whole, cut)
    assert [e["validation"] for e in how.log] == [e["validation"] for e in again.log]


def test_each_setting_gives_other_weights_than_the_default(trained):
    default, _, _ = trained("default", epochs=1)
    for number, settings in enumerate(
        [{"optimizer": "sgd"}, {"optimizer": "adafactor"}, {"accumulate": 2}, {"ema": 0.9}]
    ):
        assert not same(default, trained(str(number), epochs=1, **settings)[0]), settings


def test_patience_ends_a_training_and_the_best_epoch_is_kept(trained):
    scores = [0.1, 0.5, 0.4, 0.5, 0.9, 0.9]
    _, how, watch = trained(scores=scores, epochs=6, patience=2)
    assert [entry["epoch"] for entry in watch.entries] == [1, 2, 3, 4]
    assert (how.best_epoch, how.best_score) == (2, 0.5)
    _, again, watch = trained(resume=True, epochs=6, patience=2)
    assert watch.entries == []  # it had ended
    assert again.best_epoch == 2


def test_a_state_of_an_earlier_version_still_goes_on(trained, tmp_path):
    whole, _, _ = trained("whole", epochs=3, keep="last")
    with pytest.raises(KeyboardInterrupt):
        trained("cut", epochs=3, keep="last", stop=1)
    path = tmp_path / "cut" / STATE_FILE
    assert not any(name.startswith("average.") for name in load_file(path))
    entry = {"epoch": 1, "loss": 1.0, "lr": 0.1, "validation": -9e9}
    entry |= {"train_seconds": 1.0, "samples_per_second": 1.0}
    before = {"epoch": 1, "best_epoch": 1, "best_score": -9e9, "seconds": 1.0, "log": [entry]}
    save_file(load_file(path), path, {"progress": json.dumps(before)})
    cut, how, _ = trained("cut", epochs=3, keep="last", resume=True)
    assert [entry["epoch"] for entry in how.log] == [1, 2, 3]
    assert same(whole, cut)


def test_accumulated_batches_make_the_step_of_all_at_once(trained):
    """Of a model without statistics of a batch, trained by SGD on as many samples in each."""
    how = {"optimizer": {"name": "sgd", "momentum": 0.0}, "lr": 0.5, "weight_decay": 0.0}
    how |= {"epochs": 1, "warmup": 0.0, "schedule": "constant", "clip": 1e9}
    how |= {"recipe": "question_only", "alone": True}
    several, _, one = trained("several", batch=GROUPS // 4, accumulate=4, **how)
    at_once, _, other = trained("at_once", batch=GROUPS, **how)
    start, _, _ = trained("start", batch=GROUPS, **how | {"lr": 1e-30})
    assert one.entries[0]["loss"] == pytest.approx(other.entries[0]["loss"], rel=1e-5)
    ours, theirs, before = (model.state_dict() for model in (several, at_once, start))
    for key, value in theirs.items():
        step = (value - before[key]).norm()
        assert (ours[key] - value).norm() <= 1e-4 * step + 1e-7, key
    assert any((value - before[key]).norm() > 0 for key, value in theirs.items())


def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left(trained):
    """The schedule is over at the last step, whatever is left."""
    _, _, watch = trained(batch=4, accumulate=4, epochs=2, samples=None, schedule="cosine")
    _, _, one = trained("other", batch=16, epochs=2, samples=None, schedule="cosine")
    assert [e["lr"] for e in watch.entries] == [e["lr"] for e in one.entries]


def test_an_average_is_what_is_validated_and_kept(trained):
    last, how, _ = trained(ema=0.9, keep="last")
    raw, _, _ = trained("raw", keep="last")
    assert not same(last, raw)
    assert how.best_score == sum(p.double().sum().item() for p in last.parameters())


def test_accumulation_and_a_balance_are_refused_together(small_model):
    _, model, _ = small_model("vqa")
    with pytest.raises(MMBenchError, match=r"train\.accumulate.*ogm_ge"):
        check_stages([TASK], model, Train(accumulate=2), Part(name="ogm_ge"))

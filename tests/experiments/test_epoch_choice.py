"""What chooses the epoch whose weights are kept, and what a run says of it."""

import json

import pytest

import mmbench
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.plan import make_plan
from mmbench.experiments.shared_parts import _settled
from mmbench.recipe import Train, digest
from mmbench.request import run_request
from tests.experiments.test_training_state import SHORT, StopsIn


@pytest.fixture
def train(mini, tmp_path):
    def call(out="out", model="question_only", watch=None, **overrides):
        overrides = SHORT | overrides
        request = {"dataset": mini, "out": tmp_path / out, "train": True, "overrides": overrides}
        return mmbench.run("vqa", model, watch=watch or StopsIn(), **request)

    return call


def log_of(result):
    return [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]


def test_the_metric_that_is_asked_for_chooses_the_epoch_and_the_log_names_it(train):
    by_default = train()
    assert {entry["chosen_by"] for entry in log_of(by_default)} == {"accuracy"}
    result = train(**{"train.choose_by": "loss"})
    log = log_of(result)
    assert all(e["chosen_by"] == "loss" and e["lower_is_better"] for e in log)
    best = max(range(len(log)), key=lambda i: log[i]["validation"])
    assert result.record.training.best_epoch == best + 1
    assert result.record.identity.chosen_by == "loss"
    other = train(**{"train.choose_by": "exact_match"})
    assert {entry["chosen_by"] for entry in log_of(other)} == {"exact_match"}
    assert other.record.identity.chosen_by.startswith("exact_match|")
    assert [e["validation"] for e in log_of(other)] == [
        e["validation"] for e in log_of(by_default)
    ]  # of one right answer each, with the same weights: asking first has drawn nothing


@pytest.mark.parametrize(
    ("choose_by", "words"),
    [("acuracy", "Did you mean accuracy"), ("text_to_image_recall_at_1", "text_to_image")],
)
def test_what_cannot_choose_is_a_line_before_anything_is_trained(train, choose_by, words):
    watch = StopsIn()
    with pytest.raises(MMBenchError, match=words):
        train(watch=watch, **{"train.choose_by": choose_by})
    assert watch.began_after == []


def test_a_stage_that_minimises_something_else_is_chosen_by_its_loss(mini):
    stages = [
        {"name": "image", "objective": "simclr", "train": {"choose_by": "accuracy"}},
        {"name": "task", "objective": "task"},
    ]
    request = {"task": "vqa", "model": "gated_fusion", "dataset": mini, "train": True}
    with pytest.raises(MMBenchError, match="image: train.choose_by: accuracy .* simclr"):
        make_plan(run_request(**request, overrides={"stages": stages}))
    stages[0]["train"], stages[1]["train"] = {}, {"choose_by": "loss"}
    plan = make_plan(run_request(**request, overrides={"stages": stages}))
    assert plan.identity.chosen_by == "loss"


def test_a_training_that_patience_ends_says_so_in_its_record(train):
    result = train(**{"train.epochs": 30, "train.patience": 1, "train.lr": 1e-12})
    assert len(log_of(result)) == 2
    assert any("train.patience" in note and "2 of 30" in note for note in result.record.notes)


def test_with_everything_a_training_that_was_cut_off_ends_in_the_same_bytes(train):
    everything = {"train.optimizer": "adafactor", "train.accumulate": 2, "train.ema": 0.9}
    everything |= {"train.patience": 3, "train.choose_by": "loss"}
    whole = train("whole", "concat_fusion", **everything)
    with pytest.raises(Interrupted):
        train("cut", "concat_fusion", StopsIn(3), **everything)
    cut = train("cut", "concat_fusion", **everything)
    for name in ("weights.safetensors", "predictions.parquet"):
        assert cut.record.files[name] == whole.record.files[name]


def test_parts_that_were_trained_and_kept_before_a_setting_came_are_found_again():
    assert digest(_settled(Train()))[:16] == "a81e76537bcaf7af"
    assert digest(_settled(Train(keep="last")))[:16] == "0bb843d6adb121a9"
    for later in ({"optimizer": "sgd"}, {"accumulate": 2}, {"ema": 0.9}, {"patience": 2}):
        assert _settled(Train(**later)) != _settled(Train())

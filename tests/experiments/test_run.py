import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmbench
from mmbench.errors import MMBenchError
from mmbench.records.verification import verified
from mmbench_baselines.ship import SCORES

SHORT = {"train.epochs": 2, "train.batch": 32}


def train(mini: str, out: Path, **options):
    options = {"overrides": SHORT, "train": True} | options
    return mmbench.run("vqa", "gated_fusion", dataset=mini, out=out, **options)


GOLDEN = json.loads(SCORES.read_text())


LIKE_GATED = ("attention_fusion@", "concat_fusion@", "joint_retrieval@")  # but for the fusion
SLOW = ("dalle@", "pixel_cnn@", "blip@")  # 8 candidates, code by code, a large decoder


def is_slow(name):
    """Whether a few samples of it are scored too, or those of a model much like it."""
    return any(other.startswith(f"{name}@") for other in GOLDEN) or any(
        like in name for like in LIKE_GATED + SLOW
    )


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.whole if is_slow(n) else ()) for n in GOLDEN]
)
def test_golden_shipped_weights_give_the_score_that_baselines_says(name, tmp_path):
    whole, _, limit = name.partition("@")
    task, dataset, model = whole.split("/")
    result = mmbench.run(
        task, model, dataset=dataset, limit=int(limit) if limit else None, out=tmp_path
    )
    values = {e.name: e.value for e in result.record.metrics if e.category is None}
    # What is drawn at random may differ where a sum is rounded otherwise, on another processor.
    close = {"rel": 0.1, "abs": 0.02} if task == "generation" else {"abs": 5e-5}
    assert values == pytest.approx(GOLDEN[name], **close)


def test_a_result_has_a_value_a_frame_and_its_predictions(mini, tmp_path):
    result = train(mini, tmp_path)
    frame, predictions = result.to_frame(), result.predictions()
    assert frame["category"].tolist() == ["all", "yes/no"]
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()
    assert len(predictions) == result.record.samples
    right = predictions["prediction"] == predictions["target"]
    assert result.value == right.mean() == predictions["accuracy"].mean()
    assert pd.read_parquet(result.path / "predictions.parquet").equals(predictions)
    assert mmbench.load_run(result.path).record == result.record
    assert verified(result.path) == result.record


def test_an_equal_run_reuses_the_record_and_force_redoes_it(mini, tmp_path):
    first = train(mini, tmp_path)
    again = train(mini, tmp_path)
    assert again.reused
    assert again.record == first.record
    forced = train(mini, tmp_path, force=True)
    assert not forced.reused
    assert forced.path == first.path
    assert forced.predictions().equals(first.predictions())


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"limit": 20}, {"overrides": SHORT | {"width": 64}}, {"split": "validation"}],
)
def test_what_changes_the_result_changes_the_records_folder(mini, tmp_path, change):
    assert train(mini, tmp_path).path != train(mini, tmp_path, **change).path


def test_the_same_seed_gives_bit_equal_weights_and_predictions(mini, tmp_path):
    one, two = (train(mini, tmp_path / name) for name in "ab")
    np.random.default_rng(0).random(3)
    assert one.record.files["weights.safetensors"] == two.record.files["weights.safetensors"]
    assert one.record.files["predictions.parquet"] == two.record.files["predictions.parquet"]
    other = train(mini, tmp_path / "c", seed=1)
    assert one.record.files["weights.safetensors"] != other.record.files["weights.safetensors"]


def test_the_score_does_not_depend_on_the_batch_size(mini, tmp_path):
    weights = train(mini, tmp_path).path / "weights.safetensors"
    runs = [
        mmbench.run(
            "vqa",
            "gated_fusion",
            dataset=mini,
            overrides=SHORT,
            checkpoint=weights,
            batch_size=size,
            out=tmp_path / str(size),
        )
        for size in (1, 7, 1000)
    ]
    assert len({run.record.files["predictions.parquet"] for run in runs}) == 1


def test_a_limit_scores_the_first_samples(mini, tmp_path):
    result = mmbench.run("vqa", "majority", dataset=mini, limit=5, out=tmp_path)
    assert result.record.samples == 5
    assert result.record.limit == 5
    whole = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path)
    assert whole.predictions()["id"].tolist()[:5] == result.predictions()["id"].tolist()


def log(result) -> list[dict]:
    return [json.loads(line) for line in (result.path / "log.jsonl").read_text().splitlines()]


def test_the_weights_of_the_best_epoch_on_validation_are_kept(mini, tmp_path):
    result = train(mini, tmp_path, overrides=SHORT | {"train.epochs": 4})
    scores = [entry["validation"] for entry in log(result)]
    assert result.record.training.best_epoch == 1 + scores.index(max(scores))
    checkpoint = result.path / "weights.safetensors"
    on_validation = mmbench.run(
        "vqa",
        "gated_fusion",
        dataset=mini,
        overrides=SHORT | {"train.epochs": 4},
        checkpoint=checkpoint,
        split="validation",
        out=tmp_path,
    )
    assert on_validation.value == max(scores)


def test_the_weights_of_the_last_epoch_are_kept_where_that_is_asked_for(mini, tmp_path):
    overrides = SHORT | {"train.epochs": 4}
    best = train(mini, tmp_path, overrides=overrides)
    last = train(mini, tmp_path, overrides=overrides | {"train.keep": "last"})
    scores = [entry["validation"] for entry in log(best)]
    assert [entry["validation"] for entry in log(last)] == scores
    assert best.record.training.best_epoch < 4  # so that the two are told apart
    assert last.record.training.best_epoch == 4
    assert last.record.training.best_validation == scores[-1]


def test_a_diverging_training_says_what_to_do(mini, tmp_path):
    overrides = SHORT | {"train.lr": 1e30, "train.clip": 1e30}
    with pytest.raises(MMBenchError, match="Lower the learning rate"):
        train(mini, tmp_path, overrides=overrides)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limit": 0}, "limit= must be at least 1, got 0"),
        ({"seed": -1}, "seed= must be at least 0, got -1"),
        ({"batch_size": 0}, "batch_size= must be at least 1"),
        ({"resume": True, "train": False}, "give train too"),
        ({"checkpoint": "x.safetensors"}, "choose one"),
        ({"device": "gpu"}, "device"),
    ],
)
def test_an_argument_out_of_range_is_explained(mini, tmp_path, options, says):
    with pytest.raises(MMBenchError, match=says):
        train(mini, tmp_path, **options)
    assert not list(tmp_path.iterdir())

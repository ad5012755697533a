"""`mmbench probe`: linear probes of an encoder's features."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.checkpoint import Checkpoint
from mmbench.data.dataset import load_spec
from mmbench.errors import MMBenchError
from mmbench.experiments.labelled import labelled
from mmbench.experiments.probed_features import encoder_features, forgetful, raw_features
from mmbench.experiments.rescore import verify_records
from mmbench.recipe import load_recipe
from mmbench.records.environment import environment
from mmbench.records.probe_record import ProbeAsked, ProbeEntry, ProbeRecord, read_probe
from mmbench.records.record import content_digest
from mmbench.scenes.build import load_scenes
from mmbench.statistics.holm import holm
from mmbench.training.linear_probe import fit_probe
from tests.zoo.test_encoders import encoder

PROBED = """
tasks: {captioning: {}, vqa: {}}
summary: a few scenes
homepage: made
licence: Apache-2.0
citation: see scenes
layout: {reader: scenes}
image_size: 32
splits:
  train: {part: validation, first: 400}
  validation: {part: test, first: 200}
  test: {part: test, first: 200}
"""

_RECORD = ProbeRecord(
    created="2026-11-27T00:00:00+00:00",
    model="simclr",
    encoder="weights.safetensors",
    asked=ProbeAsked(
        kind="linear",
        weights="00",
        dataset="scenes",
        split="test",
        fingerprints={"test": "00"},
        target="shape",
        modality="image",
    ),
    classes=["circle", "square"],
    samples={"test": 2},
    majority=0.5,
    signature="accuracy",
    entries=[ProbeEntry(features="encoder", about="", accuracy=0.5, low=0.1, high=0.9, right="10")],
    groups=[0, 1],
    environment=environment("cpu", "cpu"),
)
_RECORD_VALUE = _RECORD.model_dump(mode="json")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    path = Path(tmp_path_factory.mktemp("probed"), "probed_scenes.yaml")
    path.write_text(PROBED)
    return str(path)


@pytest.fixture(scope="module")
def untrained(few, tmp_path_factory):
    """A checkpoint of vqa with weights as they are drawn by another seed."""
    task = registry.load("tasks", "vqa")()
    recipe = task.resolve(load_recipe("gated_fusion", {"width": 16}), task.dataset(few))
    assets = {"words": ["a"], "answers": ["yes", "no"]}
    torch.manual_seed(5)
    tensors = task.build(recipe, assets).state_dict()
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    checkpoint = Checkpoint(tensors, recipe.settings(), assets, {"task": "vqa"})
    path.write_bytes(checkpoint.to_bytes())
    return path


def test_a_probe_finds_the_least_of_its_loss_and_chooses_the_penalty_on_validation():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=rng)
    y = (x[:, 0] + 0.1 * torch.randn(300, generator=rng) > 0).long()
    found = fit_probe(x[:200], y[:200], (x[200:], y[200:]), 2)
    assert (found.classes(x[200:]) == y[200:]).float().mean() > 0.9
    scaled = ((x[:200] - found.mean) / found.deviation).double()
    weight, bias = found.weight.double().requires_grad_(), found.bias.double().requires_grad_()
    chances = (scaled @ weight + bias).log_softmax(-1)[torch.arange(200), y[:200]]
    loss = -chances.mean() + found.penalty / 2 * weight.square().sum()
    loss.backward()
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-3
    noise = torch.randint(2, (300,), generator=rng)
    assert fit_probe(x[:200], noise[:200], (x[200:], noise[200:]), 2).penalty >= found.penalty


def test_scenes_know_what_the_only_object_is_like_and_only_those_who_ask_are_told(few):
    spec = load_spec(few, "captioning")
    objects = load_scenes("test", 32).objects[:200]
    alone = [o[0] for o in objects if len(o) == 1]
    for target in ("shape", "colour", "size"):
        assert labelled(spec, "test", target, "image").labels == [o[target] for o in alone]
    counts = labelled(spec, "test", "count", "image").labels
    assert counts == [str(len(o)) for o in objects]
    texts = labelled(spec, "test", "colour", "text")
    assert all(o in text for o, text in zip(texts.labels, texts.values, strict=True))
    plain = registry.load("tasks", "captioning")().load(spec, "test")
    assert (
        plain.fingerprint == registry.load("tasks", "captioning")().load(spec, "test").fingerprint
    )
    from mmbench.data.splits import load_split

    assert not {"shape", "count"} & set(load_split(spec, "test", "captions").rows.column_names)


def test_features_are_the_encoders_own_pooled_and_random_ones_are_of_other_weights(few):
    parts = {"train": labelled(load_spec(few, "captioning"), "train", "shape", "image")}
    module = encoder("conv")
    found = encoder_features(module, parts, torch.device("cpu")).by_split["train"]
    x, mask = module.read(parts["train"].values[:3])
    with torch.inference_mode():
        expected = module.pool(module(x, mask))
    torch.testing.assert_close(found[:3], expected, rtol=1e-4, atol=1e-5)
    raw = raw_features("image", parts).by_split["train"]
    assert raw.shape == (len(parts["train"].labels), 32 * 32 * 3)
    first = np.asarray(parts["train"].values[0].array()).transpose(2, 0, 1).ravel() / 255
    np.testing.assert_allclose(raw[0].numpy(), first, rtol=1e-6)


@pytest.mark.parametrize("name", ["conv", "vit", "gru", "efficientnet_lite0"])
def test_a_forgetful_encoder_shares_no_weight(name):
    module = encoder(name)
    other = forgetful(module)
    networks = ([m, *getattr(m, "_frozen", ())] for m in (module, other))
    for one, two in zip(*networks, strict=True):
        pairs = zip(one.parameters(), two.parameters(), strict=True)
        matrices = [(a, b) for a, b in pairs if a.ndim > 1]
        assert matrices
        assert not any(torch.equal(a, b) for a, b in matrices)


def test_a_probe_says_what_features_know_beside_random_and_raw_ones(few, untrained):
    result = mmbench.probe(str(untrained), few, "colour", out=None)
    assert [found.features for found in result.probes] == ["encoder", "random", "raw"]
    assert all(found.low <= found.accuracy <= found.high for found in result.probes)
    assert [gain.over for gain in result.gains] == ["random", "raw"]
    by_name = {found.features: found.accuracy for found in result.probes}
    for gain in result.gains:
        expected = by_name["encoder"] - by_name[gain.over]
        assert gain.difference == pytest.approx(expected)
        assert gain.low <= gain.difference <= gain.high
    assert result.probes[2].width == 3072
    assert len(result.classes) == 8
    assert result.to_json() == mmbench.probe(str(untrained), few, "colour", out=None).to_json()


def test_a_probe_leaves_a_record_that_holds_and_is_reported(few, untrained, tmp_path):
    asked = (str(untrained), few, "colour")
    result = mmbench.probe(*asked, out=tmp_path)
    folder = Path(result.path)
    assert folder.is_relative_to(tmp_path / "probe" / "probed_scenes" / "colour")
    record = read_probe(folder)
    assert record.asked.weights == result.weights
    assert len(record.groups) == result.samples["test"]
    for probed in result.probes:
        entry = record.entry(probed.features)
        assert entry.right.count("1") / len(entry.right) == pytest.approx(probed.accuracy)
        assert (entry.low, entry.high) == (probed.low, probed.high)
    assert [gain.difference for gain in record.gains] == [g.difference for g in result.gains]
    other = mmbench.probe(*asked, seed=1, out=tmp_path)
    assert other.path != result.path
    assert mmbench.probe(*asked, out=tmp_path).path == result.path
    assert [problem for _, problem in verify_records([tmp_path])] == [None, None]
    text = mmbench.report(tmp_path, layout="probes", format="csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    found = {(row["model"], row["quantity"]): float(row["mean"]) for row in rows}
    label = f"weights [{record.asked.hash[:8]}]"  # two of one model are told apart
    assert found[label, "encoder"] == result.probes[0].accuracy
    assert found[label, "less raw"] == result.gains[1].difference
    corrected = [float(row["p_value"]) for row in rows if row["quantity"].startswith("less")]
    alone = [gain.p_value for each in (result, other) for gain in each.gains]
    assert sorted(corrected) == pytest.approx(sorted(holm(alone)))
    with pytest.raises(MMBenchError, match=r"layout=.probes. shows the probes there"):
        mmbench.report(tmp_path)
    with pytest.raises(MMBenchError, match="leave out metrics"):
        mmbench.report(tmp_path, layout="probes", metrics=["accuracy"])
    with pytest.raises(MMBenchError, match="`mmbench probe` leaves one"):
        mmbench.report(tmp_path / "probe" / "none", layout="probes")


@pytest.mark.parametrize(
    ("change", "sealed", "says"),
    [
        ({"majority": 0.9}, False, "was changed after the probe"),
        ({"entries": [{"accuracy": 0.9}]}, True, "accuracy of encoder is 0.9, but its samples"),
        ({"groups": [0]}, True, "does not say of each sample"),
        ({"model": 3}, True, "is not a valid record: model"),
        ({"schema_version": 9}, True, "of another version of mmbench: probe again"),
    ],
)
def test_a_record_of_a_probe_that_was_changed_is_refused(tmp_path, change, sealed, says):
    value = json.loads(_RECORD.model_dump_json())
    for key, new in change.items():
        value[key] = [value[key][0] | new[0]] if key == "entries" else new
    value["content"] = content_digest(value) if sealed else content_digest(_RECORD_VALUE)
    (tmp_path / "probe.json").write_text(json.dumps(value))
    with pytest.raises(MMBenchError, match=says) as error:
        read_probe(tmp_path)
    assert "\n" not in str(error.value)
    assert [says in problem for _, problem in verify_records([tmp_path])] == [True]
    with pytest.raises(MMBenchError, match=says):
        mmbench.report(tmp_path, layout="probes")


@pytest.mark.whole
def test_the_command_prints_a_table_or_json(few, untrained, mmbench, tmp_path):
    asked = ("probe", "--encoder", str(untrained), "--dataset", few, "--target", "shape")
    asked += ("--out", str(tmp_path))
    shown = mmbench(*asked)
    assert shown.returncode == 0, shown.stderr
    assert "linear probe of shape (5 classes)" in shown.stdout
    for word in ("encoder (Conv", "random (Conv", "raw (pixels"):
        assert word in shown.stdout
    assert f"record {tmp_path}" in shown.stdout
    assert "holds" in mmbench("verify", str(tmp_path)).stdout
    assert "| Weights |" in mmbench("report", str(tmp_path), "--layout", "probes").stdout
    found = json.loads(mmbench(*asked, "--json").stdout)
    assert {probe["features"] for probe in found["probes"]} == {"encoder", "random", "raw"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"encoder": "gated_fuson"}, "is neither. Did you mean gated_fusion"),
        ({"encoder": "majority"}, "has no shipped weights"),
        ({"target": "shap"}, "no attribute 'shap' of its samples. Did you mean shape"),
        ({"target": "captions"}, "is no class"),
        ({"modality": "imge"}, "no modality 'imge'. Did you mean image"),
        ({"modality": "audio"}, "has no audio"),
        ({"split": "train"}, "score it on another one"),
        ({"split": "tset"}, "no split 'tset'. Did you mean test"),
        ({"dataset": "scnes"}, "no dataset called 'scnes'"),
    ],
)
def test_what_cannot_be_probed_is_one_line(few, untrained, settings, says):
    asked = {"encoder": str(untrained), "dataset": few, "target": "shape", "out": None} | settings
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.probe(**asked)
    assert "\n" not in str(error.value)


def test_a_table_of_questions_has_its_answers_as_a_target(mini):
    found = labelled(load_spec(mini, "vqa"), "test", "target", "image")
    assert len(found.values) == len(found.labels) > 0
    assert {"yes", "no"} <= set(found.labels)

"""Captions that are wrong on purpose, and those that a model writes and filters itself."""

import pytest
import torch

from mmbench import registry
from mmbench.cli.show import show_text
from mmbench.data.caption_noise import with_noise
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.plan import make_plan
from mmbench.recipe import load_recipe
from mmbench.request import run_request
from mmbench.stages import StageData
from mmbench.training.bootstrapping import Kept, bootstrapped
from mmbench.training.objectives.itm import ITM
from mmbench.yaml_file import validate
from tests.training.test_stage_data import CutAfter
from tests.training.test_stages import log, run, weights

SMALL = {
    "width": 16,
    "encoders.text": {"name": "bert", "layers": 1},
    "encoders.image": {"channels": [8]},
    "fusion": {"name": "cross_attention", "layers": 1},
    "decoder": {"name": "transformer", "layers": 1},
}
# Of a batch of one nothing wrong is drawn, so that the head soon finds that all match.
PRETRAIN = {
    "name": "pretrain",
    "objective": ["nt_xent", "itm", "task"],
    "train": {"epochs": 1, "batch": 1},
    "data": {"noise": 0.3},
}
BOOT = {
    "name": "boot",
    "objective": "task",
    "train": {"epochs": 2, "batch": 16},
    "data": {"noise": 0.3, "captions": "bootstrapped"},
}
CPU = torch.device("cpu")


def trained(dataset, out, stages, **options):
    options = {"model": "blip", "task": "captioning", "overrides": SMALL} | options
    return run(dataset, out, stages, **options)


@pytest.fixture(scope="module")
def captions(scenes_file):
    task = registry.load("tasks", "captioning")()
    return task.load(task.dataset(scenes_file), "train")


@pytest.fixture(scope="module")
def model(scenes_file, captions):
    task = registry.load("tasks", "captioning")()
    overrides = SMALL | {"stages": [PRETRAIN, BOOT]}
    recipe = task.resolve(load_recipe("blip", overrides), task.dataset(scenes_file))
    torch.manual_seed(1)
    return task.build(recipe, task.assets(captions))


def judging(model, right):
    """The model, whose head finds that all pairs match, or that none does."""
    torch.nn.init.zeros_(model.matching[-1].weight)
    model.matching[-1].bias.data = torch.tensor([0.0, 1.0] if right else [1.0, 0.0])
    return model


def test_noise_exchanges_a_share_of_the_captions_among_each_other_always_the_same_ones(captions):
    noisy = with_noise(captions, 0.3)
    pairs = [
        (one, other)
        for a, b in zip(captions, noisy, strict=True)
        for one, other in zip(a.target, b.target, strict=True)
    ]
    assert sum(a != b for a, b in pairs) / len(pairs) == pytest.approx(0.3, abs=0.08)
    assert sorted(a for a, _ in pairs) == sorted(b for _, b in pairs)
    assert list(noisy) == list(with_noise(captions, 0.3))
    assert noisy.fingerprint == captions.fingerprint
    assert list(with_noise(captions, 0.0)) == list(captions)
    assert all(a != b for a, b in zip(captions, with_noise(captions, 1.0), strict=True))


def test_a_model_keeps_the_captions_that_its_head_finds_to_match_and_adds_its_own(model, captions):
    some = captions.limited(8)
    noisy = with_noise(some, 0.3)
    whole, kept = bootstrapped(judging(model, right=True), noisy, some, CPU)
    assert [s.id for s in whole] == [s.id for s in some]
    for before, after in zip(noisy, whole, strict=True):
        assert after.target[: len(before.target)] == before.target
        assert len(after.target) <= len(before.target) + 1
    assert (kept.given, kept.given_kept, kept.written) == (40, 40, 8)
    assert 0 < kept.wrong == kept.wrong_kept < 40
    assert whole.fingerprint != some.fingerprint
    again, _ = bootstrapped(model, noisy, some, CPU)
    assert again == whole
    with pytest.raises(MMBenchError, match="no caption is left"):
        bootstrapped(judging(model, right=False), noisy, some, CPU)


def test_what_is_kept_is_what_the_matching_objective_says_of_each_pair_alone(scenes_file, captions):
    task = registry.load("tasks", "captioning")()
    overrides = SMALL | {"stages": [PRETRAIN, BOOT]}
    recipe = task.resolve(load_recipe("blip", overrides), task.dataset(scenes_file))
    torch.manual_seed(0)
    model = task.build(recipe, task.assets(captions)).eval()
    some, objective = captions.limited(12), ITM(model)

    def margin(sample, text):
        batch = model.read("text", [text]) | model.read("image", [sample.inputs["image"]])
        sides = [model.stream(side, batch) for side in ("text", "image")]
        wrong, right = objective.match(model, *sides)[0].tolist()
        return right - wrong

    with torch.inference_mode():
        margins = {(s.id, text): margin(s, text) for s in some for text in s.target}
        middle = sum(sorted(margins.values())[29:31]) / 2
        model.matching[-1].bias[1] -= middle  # so that half of them match
    whole, kept = bootstrapped(model, some, some, CPU)
    found = {sample.id: sample.target for sample in whole}
    assert kept.given_kept == 30
    for (name, text), value in margins.items():
        assert (text in found.get(name, [])) == (value > middle)


def test_matching_trains_the_models_own_head_and_writing_uses_neither_it_nor_the_texts(
    model, captions
):
    objective = ITM(model)
    assert list(objective.parameters()) == []
    assert "matching" in objective.reaches
    batch = model.collate(captions[:3])
    assert not any(name.startswith("text") for name in batch)
    before = model.eval().answer(batch)
    for part in (model.encoders["text"], model.fusion, model.matching, model.project):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter)
    assert model.answer(batch) == before


def test_captions_are_bootstrapped_once_and_a_stage_cut_off_ends_in_the_same_bytes(
    scenes_file, tmp_path
):
    whole = trained(scenes_file, tmp_path / "whole", [PRETRAIN, BOOT])
    (note,) = [note for note in whole.record.notes if note.startswith("stage boot: kept")]
    assert "240 given captions" in note
    assert "wrong ones dropped" in note
    with pytest.raises(Interrupted):
        trained(scenes_file, tmp_path / "cut", [PRETRAIN, BOOT], watch=CutAfter("boot"))
    (file,) = (tmp_path / "cut").rglob("captions.json")
    before = file.stat().st_mtime_ns
    watch = CutAfter()
    resumed = trained(scenes_file, tmp_path / "cut", [PRETRAIN, BOOT], resume=True, watch=watch)
    assert note in watch.lines
    assert not file.exists()
    assert before
    assert log(whole)[-1]["loss"] == log(resumed)[-1]["loss"]
    ours, others = weights(whole), weights(resumed)
    assert all((ours[name] == others[name]).all() for name in ours)


def test_noise_and_bootstrapping_are_in_the_identity_and_in_what_a_shared_stage_is_known_by(
    scenes_file, tmp_path
):
    def identity(data):
        stages = [PRETRAIN, BOOT | {"data": data}]
        request = run_request(
            task="captioning",
            model="blip",
            dataset=scenes_file,
            train=True,
            overrides=SMALL | {"stages": stages},
        )
        return make_plan(request).identity.hash

    asked = [{}, {"noise": 0.3}, {"noise": 0.4}, {"noise": 0.3, "captions": "bootstrapped"}]
    assert len({identity(data) for data in asked}) == 4
    assert identity({"noise": 0.0, "captions": "given"}) == identity({})
    align = {"name": "align", "objective": "nt_xent", "train": {"epochs": 1, "batch": 16}}
    losses = [
        log(trained(scenes_file, tmp_path / str(noise), [align | {"data": {"noise": noise}}]))
        for noise in (0.0, 0.5)
    ]
    assert losses[0][0]["loss"] != losses[1][0]["loss"]


@pytest.mark.parametrize(
    ("task", "stages", "says"),
    [
        (
            "captioning",
            [BOOT | {"objective": ["itm", "task"]}],
            "no stage before it trains task and itm",
        ),
        ("captioning", [PRETRAIN | {"objective": ["nt_xent", "task"]}, BOOT], "trains itm"),
        (
            "retrieval",
            [PRETRAIN | {"data": {"captions": "bootstrapped"}}],
            "this model writes none",
        ),
        ("retrieval", [PRETRAIN], "data.noise exchanges captions, and the samples"),
    ],
)
def test_what_cannot_be_bootstrapped_is_refused_before_training(
    scenes_file, tmp_path, task, stages, says
):
    overrides = SMALL if task == "captioning" else SMALL | {"decoder": "classifier"}
    with pytest.raises(MMBenchError, match=says) as error:
        trained(scenes_file, tmp_path, stages, task=task, overrides=overrides)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("state.safetensors"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"noise": 1.5}, "noise"),
        ({"captions": "bootstraped"}, "captions"),
    ],
)
def test_data_that_cannot_be_are_refused_as_they_are_read(data, says):
    with pytest.raises(MMBenchError, match=says):
        validate(StageData, data, "here")


def test_an_encoder_of_texts_that_no_objective_reads_is_refused_in_captioning(scenes_file):
    task = registry.load("tasks", "captioning")()
    recipe = load_recipe("gated_fusion", {"encoders.text": "gru"})
    with pytest.raises(MMBenchError, match="names an encoder for 'text'"):
        task.resolve(recipe, task.dataset(scenes_file))


def test_kept_captions_are_told_with_how_many_wrong_ones_were_found():
    told = (Kept(60, 40, 18, 1, 10, 6) + Kept(40, 30, 12, 2, 10, 9)).words
    assert "kept 70 of 100 given captions and 15 of 20 that the model wrote" in told
    assert "27 of 30 wrong ones dropped (90.0%)" in told
    assert "90.0% of what was dropped wrong" in told
    assert "95.7% of what was kept right, where 70.0% was before" in told
    assert "wrong" not in Kept(5, 4, 0, 0, 1, 1).words


def test_stages_are_shown_with_their_noise_and_bootstrapping(scenes_file):
    shown = show_text("blip", task="captioning", dataset=scenes_file)
    assert "30% of captions exchanged" in shown
    assert "captions bootstrapped" in shown

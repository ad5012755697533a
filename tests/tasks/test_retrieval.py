"""Retrieval end to end, on a few generated scenes."""

import dataclasses
import re

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.data.batches import GroupBatches
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.answers import values_of
from mmbench.experiments.infer import ModelPredictor, flops_per_sample
from mmbench.experiments.watch import Watch
from mmbench.recipe import load_recipe
from mmbench.training.mining import alike_order, runs_of_alike
from mmbench.training.objectives.weighted import total
from mmbench_tasks.retrieval.model import RetrievalModel
from mmbench_tasks.retrieval.ranks import place_again

QUICK = {"width": 32, "train.epochs": 2, "train.batch": 32}


@pytest.fixture(scope="module")
def task():
    return registry.load("tasks", "retrieval")()


@pytest.fixture(scope="module")
def few(task, small_scenes):
    return task.load(task.dataset(small_scenes["image"]), "train").limited(40, groups=True)


def model(task, samples, dataset="scenes", recipe="gated_fusion", **overrides):
    torch.manual_seed(0)
    spec = task.dataset(dataset)
    resolved = task.resolve(load_recipe(recipe, {"width": 32} | overrides), spec)
    return task.build(resolved, task.assets(samples)).eval()


def train(dataset, out, recipe="gated_fusion", **options):
    overrides = QUICK | options.pop("overrides", {})
    options = {"train": True, "overrides": overrides} | options
    return mmbench.run("retrieval", recipe, dataset=dataset, out=out, **options)


def answers_of(learner, samples, batch=16):
    predictor = ModelPredictor(learner, torch.device("cpu"), batch)
    queries = [sample.query for sample in samples]
    given = values_of(predictor, queries, "the model")
    return registry.load("tasks", "retrieval")().conclude(samples, given)[0]


def test_every_picture_and_every_caption_asks(few):
    media = [s for s in few if "image" in s.inputs]
    texts = [s for s in few if "text" in s.inputs]
    assert (len(media), len(texts)) == (40, 200)
    assert {s.target for s in media} == {"image_to_text"}
    assert {s.target for s in texts} == {"text_to_image"}
    assert len({s.id for s in few}) == 240
    assert len({s.group for s in few}) == 40


def test_the_split_of_1k_is_the_first_thousand_pictures_of_test(task):
    spec = task.dataset()
    assert spec.evaluate_on == "test_1k"
    samples = task.load(spec, "test_1k")
    assert len(samples) == 6000
    assert len({s.group for s in samples}) == 1000
    test = task.load(spec, "test")
    pairs = zip(samples[:60], test[:60], strict=True)
    assert all(a.inputs.get("text") == b.inputs.get("text") for a, b in pairs)
    assert samples.fingerprint != test.fingerprint


@pytest.mark.parametrize("recipe", ["dual_encoder", "gated_fusion"])
def test_a_model_learns_to_find_a_few_pictures(task, few, recipe):
    samples = few.limited(8, groups=True)
    learner = model(task, samples, recipe=recipe, **{"encoders.image.channels": [8, 16, 16]})
    optimizer = torch.optim.AdamW(learner.parameters(), lr=5e-3)
    learner.train()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        loss = total(learner.losses(learner.collate_training(samples, rng)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ranks = answers_of(learner, samples)
    assert np.mean([found[0] == 1 for found in ranks]) > 0.95
    of_pictures = [r for r, s in zip(ranks, samples, strict=True) if "image" in s.inputs]
    assert np.mean([found.tolist() == [1, 2, 3, 4, 5] for found in of_pictures]) > 0.7


def scores_of(learner, samples):
    """Every text against every picture, one pair at a time: (T, M) cosines and matching scores."""
    texts = [s for s in samples if "text" in s.inputs]
    media = [s for s in samples if "image" in s.inputs]
    with torch.inference_mode():
        text, text_stream = learner.encode("text", learner.collate(texts))
        image, image_stream = learner.encode("image", learner.collate(media))
        logits = text @ image.T * learner.scale()
        rows = torch.arange(len(texts))[:, None].expand_as(logits)
        columns = torch.arange(len(media))[None].expand_as(logits)
        matched, _ = learner.match(text_stream, image_stream, rows, columns, logits)
    return texts, media, logits.numpy(), matched.numpy()


def expected_ranks(logits, matched, right, kept=16):
    """The first `kept` by logit, ordered by their matching score; the others behind, by logit."""
    first = np.argsort(-logits)[:kept]
    order = [*first[np.argsort(-matched[first])], *np.argsort(-logits)[kept:]]
    return sorted(order.index(item) + 1 for item in right)


@pytest.mark.parametrize(
    "kind",
    [
        *("gated", "film", "cross_attention"),
        pytest.param("merged_attention", marks=pytest.mark.whole),
    ],
)
def test_the_ranks_are_those_of_every_pair_scored_by_itself(task, few, kind):
    learner = model(task, few, fusion=kind)
    texts, media, logits, matched = scores_of(learner, few)
    assert not np.allclose(logits, matched)
    ranks = dict(zip([s.id for s in few], answers_of(learner, few), strict=True))
    for row, sample in enumerate(texts):
        right = [i for i, other in enumerate(media) if other.group == sample.group]
        assert ranks[sample.id].tolist() == expected_ranks(logits[row], matched[row], right)
    for column, sample in enumerate(media):
        right = [i for i, other in enumerate(texts) if other.group == sample.group]
        expected = expected_ranks(logits[:, column], matched[:, column], right)
        assert ranks[sample.id].tolist() == expected


def test_without_a_fusion_the_ranks_are_the_dual_encoders(task, few):
    fused = model(task, few)
    _, _, logits, _ = scores_of(fused, few)
    fused.fusion = None
    ranks = [r for r, s in zip(answers_of(fused, few), few, strict=True) if "text" in s.inputs]
    for row, found in enumerate(ranks):
        assert found.tolist() == [1 + (logits[row] > logits[row, row // 5]).sum()]


def test_the_dual_encoder_has_no_fusion_and_no_matching(task, few):
    learner = model(task, few, recipe="dual_encoder")
    assert learner.fusion is None
    assert learner.decoder is None


def placed_again(candidates, scores, wanted, ranks):
    """Of one query whose right items are `wanted`, beside another one."""
    rows = (
        np.array([[1, 2, 3, 5], candidates]),
        np.array([[4, 3, 2, 1], scores], np.float32),
        [np.array([2]), np.array(wanted)],
        [np.array([4]), np.array(ranks)],
    )
    other, placed = place_again(*rows)
    assert other.tolist() == [2]
    return placed.tolist()


def test_equal_scores_are_counted_against_the_model():
    candidates, wanted, ranks = [7, 3, 9, 4], [3, 9], [2, 3]
    assert placed_again(candidates, [0, 0, 0, 0], wanted, ranks) == [3, 4]
    assert placed_again(candidates, [0, 1, 1, 1], wanted, ranks) == [2, 3]
    assert placed_again(candidates, [0, 2, 1, 1], wanted, ranks) == [1, 3]


def test_right_items_that_are_no_candidates_stay_behind_them():
    ranks = [2, 9, 17]  # 3 is among the candidates, 11 and 12 are not
    assert placed_again([7, 3, 9, 4], [4, 1, 3, 2], [3, 11, 12], ranks) == [4, 9, 17]


def test_a_constant_model_finds_everything_last(task, few):
    learner = model(task, few)
    with torch.no_grad():
        for layer in learner.project.values():
            layer.weight.zero_()
            layer.bias.fill_(1.0)
        learner.decoder.layers[-1].weight.zero_()
    for found, sample in zip(answers_of(learner, few), few, strict=True):
        assert found.tolist() == ([40] if "text" in sample.inputs else [196, 197, 198, 199, 200])


def test_a_candidate_by_luck_of_equal_scores_is_none():
    candidates, scores, wanted = [7, 3, 9, 4], [1, 4, 3, 2], [3, 9]
    assert placed_again(candidates, scores, wanted, [1, 8]) == [2, 8]
    assert placed_again(candidates, scores, wanted, [7, 8]) == [7, 8]


def test_the_hard_wrong_partners_are_never_the_right_one(task, few):
    learner = model(task, few)
    torch.manual_seed(0)
    rivals = learner._rivals(torch.randn(20, 20) * 30)
    assert rivals.shape == (20, 8)
    assert rivals[:, 0].tolist() == list(range(20))
    for row in rivals.tolist():
        assert len(set(row)) == 8


def test_pictures_that_a_text_is_easily_taken_for_are_alike(task, few):
    learner = model(task, few)
    rng = np.random.default_rng(0)
    batches = [
        learner.collate_training(few[start : start + 60], rng) for start in range(0, 240, 60)
    ]
    torch.manual_seed(0)
    with torch.inference_mode():
        near = learner.alike(batches, 7)
        texts = torch.cat([learner.encode("text", batch)[0] for batch in batches])
        media = torch.cat([learner.encode("image", batch)[0] for batch in batches])
    assert near.shape == (40, 7)
    assert torch.equal(near, (-(texts @ media.T)).argsort(1)[:, :7])


def test_the_record_says_what_the_dual_encoder_found_by_itself(small_scenes, tmp_path):
    fused = train(small_scenes["image"], tmp_path)
    note, _ = fused.record.notes
    said = re.search(r"alone.*: (\S+) text to image, (\S+) image to text", note)
    learner_path = fused.path / "weights.safetensors"
    from mmbench.checkpoint import read_checkpoint

    task = registry.load("tasks", "retrieval")()
    spec = task.dataset(small_scenes["image"])
    checkpoint = read_checkpoint(learner_path)
    resolved = task.resolve(load_recipe("gated_fusion", QUICK), spec)
    learner = task.build(resolved, checkpoint.assets)
    checkpoint.restore(learner)
    learner.fusion = None
    test = task.load(spec, "test")
    ranks = answers_of(learner, test)
    for place, side in ((1, "text"), (2, "image")):
        own = [r[0] == 1 for r, s in zip(ranks, test, strict=True) if side in s.inputs]
        assert float(said[place]) == pytest.approx(100 * np.mean(own), abs=0.006)


@pytest.mark.parametrize("medium", ["image", "video", "audio"])
@pytest.mark.parametrize("recipe", ["gated_fusion", "dual_encoder"])
def test_a_run_ranks_in_both_directions(small_scenes, tmp_path, medium, recipe):
    result = train(small_scenes[medium], tmp_path, recipe, overrides={"train.epochs": 1})
    names = [entry.name for entry in result.record.metrics]
    assert names == [f"text_to_{medium}_recall_at_1", f"{medium}_to_text_recall_at_5"]
    assert (result.record.samples, result.record.groups) == (180, 30)
    frame = result.predictions()
    lengths = frame["prediction"].map(len).groupby(frame["target"]).unique()
    assert {key: value.tolist() for key, value in lengths.items()} == {
        f"text_to_{medium}": [1],
        f"{medium}_to_text": [5],
    }
    for ranks, target in zip(frame["prediction"], frame["target"], strict=True):
        gallery = 30 if target.startswith("text") else 150
        assert (np.diff(ranks) > 0).all()
        assert 1 <= ranks[0] <= ranks[-1] <= gallery


def test_the_score_does_not_depend_on_the_batch_size(small_scenes, tmp_path):
    weights = train(small_scenes["image"], tmp_path).path / "weights.safetensors"
    runs = [
        train(
            small_scenes["image"],
            tmp_path / str(size),
            train=False,
            checkpoint=weights,
            batch_size=size,
        )
        for size in (1, 7, 1000)
    ]
    assert len({run.record.files["predictions.parquet"] for run in runs}) == 1


class StopsIn(Watch):
    """Presses Ctrl-C in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.finished = 0

    def finished_epoch(self, entry):
        self.finished = entry["epoch"]

    def stepped(self, loss, samples):
        if self.finished + 1 == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("by", [None, "model", "order"])
def test_a_training_that_was_cut_off_ends_as_it_would_have(small_scenes, tmp_path, by):
    dataset = small_scenes["image"]
    alike = {"train.neighbours": 4, "train.neighbours_by": by}
    options = {"overrides": alike if by else {}}
    whole = train(dataset, tmp_path / "whole", **options)
    with pytest.raises(Interrupted):
        train(dataset, tmp_path / "cut", watch=StopsIn(2), **options)
    resumed = train(dataset, tmp_path / "cut", resume=True, **options)
    for name in ("weights.safetensors", "predictions.parquet"):
        assert resumed.record.files[name] == whole.record.files[name]


def test_the_order_of_training_is_of_what_the_model_finds_alike(task, few):
    learner = model(task, few)
    torch.manual_seed(0)
    order = alike_order(learner, few, 16, 2, torch.device("cpu"), np.random.default_rng(0))
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shown = [learner.collate_training(chosen, rng) for chosen in GroupBatches(few, 16).epoch()]
    with torch.inference_mode():
        near = learner.alike(shown, 16)
    assert order.tolist() == runs_of_alike(near.numpy(), 2, rng).tolist()


def test_neighbours_of_groups_with_several_media_are_refused(task, few):
    joined = [dataclasses.replace(s, group=str(int(s.group) // 2)) for s in few]
    with pytest.raises(MMBenchError, match="one medium in each group; 20 groups have 40"):
        alike_order(model(task, few), joined, 8, 2, torch.device("cpu"), np.random.default_rng(0))


def test_training_is_shown_neighbours_together_from_the_epoch_on(
    task, small_scenes, tmp_path, monkeypatch
):
    """Batches of two runs of four in the data's order, in the second of two epochs."""
    shown = []
    collate = RetrievalModel.collate_training

    def spied(self, samples, rng):
        if self.training:
            shown.append({sample.group for sample in samples})
        return collate(self, samples, rng)

    monkeypatch.setattr(RetrievalModel, "collate_training", spied)
    alike = {"train.neighbours": 4, "train.neighbours_by": "order", "train.neighbours_from": 0.5}
    train(small_scenes["image"], tmp_path, overrides={"train.batch": 8} | alike)
    data = task.load(task.dataset(small_scenes["image"]), "train")
    groups = list(dict.fromkeys(sample.group for sample in data))
    runs = [set(groups[start : start + 4]) for start in range(0, len(groups) // 4 * 4, 4)]
    assert len(shown) % 2 == 0
    first, second = shown[: len(shown) // 2], shown[len(shown) // 2 :]
    assert all(any(run <= batch for batch in second) for run in runs)
    assert not all(any(run <= batch for batch in first) for run in runs)


def test_a_batch_holds_whole_runs_of_neighbours(small_scenes, tmp_path):
    overrides = {"train.neighbours": 5}
    with pytest.raises(MMBenchError, match="must divide train.batch: 5 does not divide 32"):
        train(small_scenes["image"], tmp_path, overrides=overrides)
    assert not list(tmp_path.rglob("run.json"))


def test_a_limit_counts_pictures_with_all_their_captions(small_scenes, tmp_path):
    result = train(small_scenes["image"], tmp_path, limit=10, overrides={"train.epochs": 1})
    assert (result.record.samples, result.record.groups, result.record.limit) == (60, 10, 10)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"encoders": {"text": None}}, "needs an encoder for the text and one for what it descr"),
        ({"encoders": {"image": None}}, "it has text"),
        ({"encoders": {"image": "conv3d"}}, "the encoder for image reads video"),
        (
            {"encoders": {"video": "conv3d"}},
            "names an encoder for 'video', which this task does no",
        ),
        ({"fusion": "gatd"}, "no fusion called 'gatd'. Did you mean gated"),
        ({"decoder": "rnn"}, "the decoder rnn cannot stand here: nothing gives it vocabulary"),
    ],
)
def test_a_recipe_that_makes_no_model_is_explained(task, few, overrides, says):
    with pytest.raises(MMBenchError, match=says):
        model(task, few, **overrides)


def test_a_dataset_of_several_media_is_refused(small_scenes, tmp_path):
    task = registry.load("tasks", "retrieval")()
    spec = task.dataset(small_scenes["image"]).model_copy(update={"modalities": ["image", "audio"]})
    with pytest.raises(
        MMBenchError, match="one kind of medium by text; few_images has image and a"
    ):
        task.load(spec, "test")


def test_re_ranking_is_among_the_operations_so_that_two_fusions_differ(task, small_scenes):
    spec = task.dataset(small_scenes["image"])
    samples = task.load(spec, "test")
    found = {}
    for name in ("dual_encoder", "concat_fusion", "gated_fusion"):
        model = task.build(task.resolve(load_recipe(name), spec), task.assets(samples))
        found[name] = flops_per_sample(model, samples.queries, torch.device("cpu"))
    assert found["dual_encoder"] < found["concat_fusion"] < found["gated_fusion"]

"""Captioning end to end, on a few generated scenes."""

import json

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.score import load_metrics, score_answers
from mmbench.experiments.watch import Watch
from mmbench.recipe import Part, load_recipe

QUICK = {"width": 32, "train.epochs": 2, "train.batch": 32}


@pytest.fixture(scope="module")
def task():
    return registry.load("tasks", "captioning")()


@pytest.fixture(scope="module")
def few(task, small_scenes):
    return task.load(task.dataset(small_scenes["image"]), "train")


def model(task, samples, seed=0, recipe="gated_fusion", **overrides):
    torch.manual_seed(seed)
    spec = registry.load("tasks", "captioning")().dataset("scenes")
    resolved = task.resolve(load_recipe(recipe, {"width": 32} | overrides), spec)
    return task.build(resolved, task.assets(samples)), resolved


def train(dataset, out, **options):
    overrides = QUICK | options.pop("overrides", {})
    options = {"train": True, "overrides": overrides} | options
    return mmbench.run("captioning", "gated_fusion", dataset=dataset, out=out, **options)


def test_a_sample_is_a_picture_and_its_target_all_its_captions(few):
    assert len(few) == 120
    for sample in few:
        assert sample.inputs["image"].array().shape == (64, 64, 3)
        assert len(sample.target) == 5
        assert all(isinstance(caption, str) for caption in sample.target)
    assert len({sample.id for sample in few}) == len({sample.group for sample in few}) == 120


def test_the_assets_are_the_words_and_room_for_the_longest_caption(task, few):
    assets = task.assets(few)
    captions = [caption for sample in few for caption in sample.target]
    assert set(assets["words"]) == {word for caption in captions for word in caption.split()}
    assert assets["longest"] == 4 + max(len(caption.split()) for caption in captions)
    assert json.loads(json.dumps(assets)) == assets


@pytest.mark.parametrize(("decoder", "fusion_at"), [("rnn", "every"), ("transformer", "last")])
def test_a_model_learns_the_captions_of_a_few_pictures_by_heart(task, few, decoder, fusion_at):
    """So each picture reaches its words: no two of them have the same caption."""
    samples = [sample.__class__(**_one_caption(sample)) for sample in few[:6]]
    learner, _ = model(
        task,
        samples,
        **{"decoder": decoder, "decoder.fusion_at": fusion_at, "decoder.layers": 2},
        **{"encoders.image.channels": [8, 16, 16]},
    )
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-2)
    learner.train()
    batch = learner.collate_training(samples, np.random.default_rng(0))
    for _ in range(120):
        loss = learner.losses(batch)["words"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learner.eval()
    with torch.inference_mode():
        answers = learner.answer(learner.collate(samples))
    assert answers == [sample.target[0] for sample in samples]


def test_a_dataset_says_how_its_media_are_encoded_unless_the_recipe_does(task, small_scenes):
    spec = task.dataset(small_scenes["image"])
    plain = task.resolve(load_recipe("gated_fusion"), spec)
    assert plain.encoders == {"image": Part(name="conv", options={"channels": [8, 16]})}
    more = task.resolve(load_recipe("gated_fusion", {"encoders.image.coordinates": True}), spec)
    options = {"channels": [8, 16], "coordinates": True}
    assert more.encoders == {"image": Part(name="conv", options=options)}
    other = task.resolve(load_recipe("gated_fusion", {"encoders.image": "gru"}), spec)
    assert other.encoders == {"image": Part(name="gru")}


def _one_caption(sample):
    values = {name: getattr(sample, name) for name in sample.__dataclass_fields__}
    return values | {"target": sample.target[:1]}


def test_the_loss_is_of_each_next_word_and_the_end(task, few):
    """Against the log-probabilities, added up by hand."""
    learner, _ = model(task, few)
    learner.eval()
    batch = learner.collate_training(few[:5], np.random.default_rng(0))
    total, count = 0.0, 0
    context = [learner.stream("image", batch).take(batch["image_rows"])]
    end = len(learner.vocabulary)
    for row, words in enumerate(batch["words"].tolist()):
        text = [word for word in words if word]
        own = [c.take(torch.tensor([row])) for c in context]
        logits = learner.decoder(torch.tensor([[end, *text]]), own).logits[0].detach()
        for place, word in enumerate([*text, end]):
            total -= float(logits[place].log_softmax(0)[word])
            count += 1
    assert float(learner.losses(batch)["words"].detach()) == pytest.approx(total / count, rel=1e-5)


def test_training_draws_any_of_the_captions(task, few):
    learner, _ = model(task, few)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        words = learner.collate_training(few[:1], rng)["words"][0].tolist()
        seen.add(learner.vocabulary.decode([word for word in words if word]))
    assert seen == set(few[0].target)


@pytest.mark.parametrize("medium", ["image", "video", "audio"])
def test_a_run_trains_writes_captions_and_scores_them(small_scenes, tmp_path, medium):
    result = train(small_scenes[medium], tmp_path, overrides={"train.epochs": 1})
    assert [entry.name for entry in result.record.metrics] == ["cider"]
    assert result.record.samples == 30
    predictions = result.predictions()
    assert all(isinstance(text, str) for text in predictions["prediction"])
    assert predictions["target"].map(len).eq(5).all()
    assert {"decoder", f"encoders.{medium}"} == set(result.record.parameters)


def test_the_captions_are_scored_by_all_metrics_on_all_references(small_scenes, tmp_path):
    """Each picture is given one of its own captions: the best there is by every metric."""
    task = registry.load("tasks", "captioning")()
    test = task.load(task.dataset(small_scenes["image"]), "test")
    metrics = load_metrics(task.metrics)
    own = score_answers(metrics, test, [sample.target[4] for sample in test])
    values = {entry.name: entry.value for entry in own.entries}
    names = ["cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l"]
    assert list(values) == names
    assert all(values[name] == pytest.approx(1, abs=1e-6) for name in names[1:])
    shifted = [sample.target[0] for sample in (*test[1:], test[0])]
    other = score_answers(metrics, test, shifted)
    assert all(entry.value < values[entry.name] for entry in other.entries)


@pytest.mark.parametrize("search", ["greedy", "beam", "nucleus"])
def test_the_captions_do_not_depend_on_the_batch_size(task, few, search):
    writer, _ = model(task, few, **{"decoder.search.kind": search})
    queries = few.queries[:20]
    device = torch.device("cpu")
    one, *others = (list(ModelPredictor(writer, device, n).predict(queries)) for n in (1, 7, 1000))
    assert others == [one, one]


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


def test_a_training_that_was_cut_off_ends_as_it_would_have(small_scenes, tmp_path):
    dataset = small_scenes["image"]
    whole = train(dataset, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(dataset, tmp_path / "cut", watch=StopsIn(2))
    resumed = train(dataset, tmp_path / "cut", resume=True)
    for name in ("weights.safetensors", "predictions.parquet"):
        assert resumed.record.files[name] == whole.record.files[name]


def test_neighbours_are_refused_before_anything_is_trained(small_scenes, tmp_path):
    with pytest.raises(MMBenchError, match=r"train.neighbours is for models that compare"):
        train(small_scenes["image"], tmp_path, overrides={"train.neighbours": 4})
    assert not list(tmp_path.rglob("run.json"))


def test_a_language_model_that_looks_at_nothing_says_the_same_of_all(small_scenes, tmp_path):
    blind = {"fusion": None, "encoders": {"image": None}}
    result = train(small_scenes["image"], tmp_path, overrides=blind)
    assert result.predictions()["prediction"].nunique() == 1


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"fusion": None}, "needs a fusion and at least one encoder"),
        ({"encoders": {"image": None}}, "it has 0 encoders and gated"),
        ({"encoders": {"image": "gru"}}, "the encoder for image reads text"),
        ({"decoder": "transfomer"}, "no decoder called 'transfomer'. Did you mean transformer"),
        (
            {"decoder": "classifier"},
            "the decoder classifier cannot stand here: .* gives it classes",
        ),
        ({"decoder.search.kind": "best"}, "decoder.search: kind must be 'greedy', 'beam' or 'nucl"),
        ({"decoder.search.beam": 3}, "decoder.search: no key 'beam'. Did you mean beams"),
        ({"decoder.search.beams": 0}, "decoder.search: beams must be at least 1"),
        ({"decoder.search.top_p": 0.0}, "decoder.search: top_p must be greater than 0"),
        ({"decoder.fusion_at": "first"}, "fusion_at must be 'last' or 'every'"),
        ({"decoder.layers": 0}, "layers must be at least 1"),
    ],
)
def test_a_recipe_that_makes_no_model_is_explained(task, few, overrides, says):
    with pytest.raises(MMBenchError, match=says):
        model(task, few, **overrides)

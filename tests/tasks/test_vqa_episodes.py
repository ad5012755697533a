"""VQA about several images at once, and with answers that are written."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

import mmbench
from mmbench import registry
from mmbench.corruptions.conditions import Condition, damaged, partners
from mmbench.data.batches import query_batches
from mmbench.data.checks import row_problems
from mmbench.data.media import MediaRef, media_of
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.experiments.labelled import labelled
from mmbench.predictors.messages import interleaved, known_message
from mmbench.prompts import Prompt
from mmbench.recipe import Recipe, load_recipe
from mmbench.reports.page.samples import _content
from mmbench.training.objectives.content import contents_of
from mmbench_tasks.vqa.written import WrittenModel

FEW = """
task: vqa
summary: a few episodes
homepage: made
licence: Apache-2.0
citation: see scenes_words
layout: {reader: scenes_words}
image_size: 32
encoders:
  image: {name: conv, channels: [4]}
splits:
  train: {part: validation, first: 1}
  validation: {part: test, first: 1}
  test: {part: test, first: 1}
train: {epochs: 1, batch: 8}
"""
WRITES = {"encoders": {"text": None}, "decoder": {"name": "flamingo", "layers": 2}, "width": 16}
WITH_A_FUSION = {**WRITES, "decoder": {"name": "transformer"}, "fusion": "gated"}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    path = tmp_path_factory.mktemp("episodes") / "few.yaml"
    path.write_text(FEW)
    return str(path)


@pytest.fixture(scope="module")
def task():
    return registry.load("tasks", "vqa")()


@pytest.fixture(scope="module")
def samples(task, few):
    return task.load(task.dataset(few), "train")


def built(task, few, samples, **settings):
    torch.manual_seed(0)
    recipe = task.resolve(Recipe.model_validate(settings), task.dataset(few))
    return task.build(recipe, task.assets(samples)).eval()


def test_a_sample_has_its_pictures_in_order_and_a_text_with_their_places(samples):
    assert len(samples) == 128
    for sample in samples:
        pictures = sample.inputs["image"]
        count = int(sample.category.split()[0])
        assert len(pictures) == sample.inputs["text"].count("□") == count + 1
        assert all(isinstance(one, MediaRef) for one in pictures)
    assert {s.group for s in samples} == {f"0/{n}/{one}" for n in (0, 2, 4, 8) for one in range(4)}


@pytest.mark.parametrize(
    ("images", "several", "says"),
    [
        ([0, 1], ["image"], None),
        ([0, 1], [], "its image is [0, 1], not a name"),
        ([], ["image"], "it has no image"),
        ([0, None], ["image"], "its image is None, not a name"),
    ],
)
def test_a_row_has_several_images_where_its_reader_gives_them(images, several, says):
    row = {"row": 0, "group": "a", "image": images, "text": "what?", "target": "dax"}
    problems = row_problems([row], "questions", ["image"], several)
    assert problems == ({0: f"sample 0: {says}"} if says else {})


def test_a_chat_model_is_shown_each_image_where_the_text_has_a_place_for_it():
    image, other = {"type": "image", "image": "one"}, {"type": "image", "image": "two"}
    told = {"type": "text", "text": "dax."}
    assert interleaved("□ dax. □", [image, other]) == [image, told, other]
    assert interleaved("dax.", [image]) == [image, told]


def test_an_answer_is_known_by_all_images_that_it_is_about(samples):
    prompt = Prompt(text="{text}")
    query = max(samples, key=lambda sample: len(media_of(sample.inputs["image"]))).query
    images = query.inputs["image"]
    turned = Query(query.id, {**query.inputs, "image": images[::-1]})
    assert len(images) > 1
    assert known_message(prompt, turned) != known_message(prompt, query)


def test_a_probe_says_that_it_reads_one_image_a_sample(task, few):
    with pytest.raises(MMBenchError, match="reads one image a sample, and few has several"):
        labelled(task.dataset(few), "train", "target", "image")


def test_several_images_are_encoded_as_each_is_by_itself(task, few, samples):
    model = built(task, few, samples, **WRITES)
    chosen = [samples[0], samples[40], samples[127]]
    batch = model.collate([sample.query for sample in chosen])
    images = len({one for sample in chosen for one in sample.inputs["image"]})
    assert batch["image"].shape == (images, 3, 32, 32)
    assert batch["image_rows"].shape == (3, 9)
    (stream,) = model.contexts(batch)
    assert stream.parts == 9
    for row, sample in enumerate(chosen):
        for place in range(9):
            part = stream.tokens[row].unflatten(0, (9, -1))[place]
            there = stream.mask[row].unflatten(0, (9, -1))[place]
            if place < len(sample.inputs["image"]):
                one = sample.inputs["image"][place]
                alone = model.encoders["image"](*model.encoders["image"].read([one]))
                torch.testing.assert_close(part, alone.tokens[0])
                assert there.all()
            else:
                assert not there.any()


@pytest.mark.parametrize("name", ["gated_fusion", "cross_attention_fusion", "image_only"])
def test_other_models_answer_questions_about_several_images_too(task, few, samples, name):
    recipe = load_recipe(name, {"width": 16, "encoders.image.channels": [4]})
    torch.manual_seed(0)
    resolved = task.resolve(recipe, task.dataset(few))
    model = task.build(resolved, task.assets(samples)).eval()
    together = model(model.collate(samples[:40].copy())).logits
    alone = model(model.collate([samples[3]])).logits
    torch.testing.assert_close(together[3:4], alone)
    model.train()
    losses = model.losses(model.collate_training(samples[:40], np.random.default_rng(0)))
    assert all(loss.isfinite() for loss in losses.values())


def test_what_is_kept_of_images_and_a_missing_one_are_as_of_single_images(task, few, samples):
    model = built(task, few, samples, **WRITES)
    queries = [sample.query for sample in samples]
    before = model.contexts(model.collate(queries))[0]
    model.keep(queries, ["image"])
    batch = model.collate(queries)
    assert "image_stream" in batch
    torch.testing.assert_close(model.contexts(batch)[0].clean(), before.clean())
    missing = model.contexts(model.without(batch, "image"))[0]
    assert not missing.mask.any()


def test_queries_about_the_same_images_are_answered_together(samples):
    queries = [sample.query for sample in samples]
    batches = list(query_batches(queries, 1))
    assert [[queries[p].id for p in places] for places in batches] == [
        [s.id for s in samples if s.group == group]
        for group in dict.fromkeys(s.group for s in samples)
    ]


def test_a_corruption_damages_each_of_several_images_and_one_that_is_shared_alike(samples):
    queries = [sample.query for sample in samples]
    condition = Condition("image_noise", "image", 1, 2, 0.2, 1)
    changed, missing = damaged(queries, condition, 0)
    assert not missing.any()
    made = {}
    for before, after in zip(queries, changed, strict=True):
        for one, other in zip(before.inputs["image"], after.inputs["image"], strict=True):
            assert made.setdefault(one, other) == other
            assert other.row == one.row
            assert other.set_digest != one.set_digest
    one = queries[-1].inputs["image"][0]
    assert not np.array_equal(one.array(), made[one].array())


def test_partners_share_no_image(samples):
    found = partners(samples, 0)
    for place, other in enumerate(found.tolist()):
        mine, its = (set(samples[at].inputs["image"]) for at in (place, other))
        assert not mine & its


def test_objectives_and_pages_find_each_of_several_images(samples):
    sample = samples[-1]
    pictures = list(sample.inputs["image"])
    assert contents_of(sample, "image") == pictures
    _, media = _content(sample)
    assert media == {f"image {number}": one for number, one in enumerate(pictures, 1)}
    assert media_of("a text") == media_of(("two", "texts")) == media_of(()) == ()


@pytest.mark.parametrize("settings", [WRITES, WITH_A_FUSION], ids=["flamingo", "transformer"])
def test_a_written_answer_does_not_depend_on_the_batch(task, few, samples, settings):
    model = built(task, few, samples, **settings)
    assert isinstance(model, WrittenModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    queries = [sample.query for sample in samples[::9]]
    together = model.answer(model.collate(queries))
    assert together == [model.answer(model.collate([query]))[0] for query in queries]
    assert len(set(together)) > 1


def test_question_and_answer_are_learnt_word_by_word(task, few, samples):
    model = built(task, few, samples, **WRITES)
    chosen = [samples[0], samples[40]]
    batch = model.collate_training(chosen, np.random.default_rng(0))
    logits = model.decoder(batch["words"], model.contexts(batch)).logits
    sums = {"answer": 0.0, "question": 0.0}
    counts = {"answer": 0, "question": 0}
    for row, sample in enumerate(chosen):
        (question,), (answer,) = (
            model.vocabulary.rows([text]) for text in (sample.inputs["text"], sample.target)
        )
        text = [model.decoder.end, *question, *answer, model.decoder.end]
        assert batch["words"][row, : len(text) - 1].tolist() == text[:-1]
        for place, word in enumerate(text[1:]):
            part = "question" if place < len(question) else "answer"
            log_chance = functional.log_softmax(logits[row, place], -1)[word].item()
            sums[part] -= log_chance
            counts[part] += 1
    losses = model.losses(batch)
    for part, loss in losses.items():
        assert loss.item() == pytest.approx(sums[part] / counts[part], rel=1e-4)


def test_a_recipe_may_leave_the_question_unlearnt(task, few, samples):
    model = built(task, few, samples, **WRITES, losses={"question": 0})
    losses = model.losses(model.collate_training(samples[:3], np.random.default_rng(0)))
    assert set(losses) == {"answer"}


def test_without_media_the_question_alone_is_read(task, few, samples):
    settings = {**WRITES, "encoders": {"text": None, "image": None}}
    model = built(task, few, samples, **settings)
    queries = [sample.query for sample in samples[:4]]
    assert len(model.answer(model.collate(queries))) == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**WRITES, "encoders": {}}, "flamingo reads the question itself: set encoders.text"),
        ({**WRITES, "fusion": "gated"}, "flamingo joins the media by layers of its own"),
        ({**WITH_A_FUSION, "fusion": None}, "needs a fusion and at least one encoder"),
    ],
)
def test_a_recipe_that_cannot_write_answers_is_refused(task, few, samples, settings, says):
    with pytest.raises(MMBenchError, match=says):
        built(task, few, samples, **settings)


def test_a_decoder_that_writes_is_refused_where_questions_have_choices(task, few, samples):
    recipe = task.resolve(Recipe.model_validate(WRITES), task.dataset(few))
    with pytest.raises(MMBenchError, match="has choices of its own: choose classifier"):
        task.build(recipe, {**task.assets(samples), "answers": None})


@pytest.fixture(scope="module")
def trained(few, tmp_path_factory):
    """A run of the recipe `flamingo`, in all of its stages, smaller and shorter."""
    folder = tmp_path_factory.mktemp("flamingo")
    told = folder / "told.yaml"
    told.write_text(FEW.replace("task: vqa", "task: captioning").replace("words}", "words_told}"))
    stages = [stage.model_dump(mode="json") for stage in load_recipe("flamingo").stages]
    for stage in stages:
        stage["train"] |= {"epochs": 1, "batch": 8}
        if stage["name"] == "language":
            stage["data"] = {"dataset": str(told)}
    sizes = {"width": 16, "decoder.layers": 2, "encoders.image.channels": [4]}
    overrides = {"stages": stages, **sizes}
    return mmbench.run("vqa", "flamingo", dataset=few, train=True, overrides=overrides, out=folder)


def test_flamingo_is_trained_in_its_stages_and_scored_by_the_number_of_examples(trained):
    categories = {entry.category for entry in trained.record.metrics}
    assert categories == {None, *(f"{count} examples" for count in (0, 2, 4, 8))}
    log = [json.loads(line) for line in (trained.path / "log.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in log if "stage" in line)) == [
        "vision",
        "language",
        "join",
    ]

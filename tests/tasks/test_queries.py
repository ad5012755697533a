"""What models and predictors are handed: queries, which hold no target and no group."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.data.batches import query_batches
from mmbench.data.sample import Query, Sample
from mmbench.errors import MMBenchError
from mmbench.experiments.answers import values_of
from mmbench.experiments.infer import ModelPredictor
from mmbench.recipe import load_recipe
from mmbench.task import Answer, Failure
from mmbench_tasks.retrieval.answers import Embedded, Scored
from mmbench_tasks.retrieval.ranks import ranks_of

ALL_TASKS = """
tasks:
  retrieval: {metrics: [text_to_image_recall_at_1]}
  captioning: {metrics: [cider]}
  vqa: {}
  generation: {layout: {reader: scenes, claims: true}, metrics: [faithfulness]}
summary: a few scenes
homepage: made
licence: Apache-2.0
citation: see scenes
layout: {reader: scenes}
image_size: 32
encoders: {image: {channels: [8, 16]}}
splits:
  train: {part: validation, first: 24}
  validation: {part: test, first: 12}
  test: {part: test, first: 12}
"""


class Blind(Query):
    """A query that fails whoever looks at more of it than what is asked."""

    def __getattr__(self, name):
        raise AssertionError(f"a model looked at {name}")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "few.yaml"
    path.write_text(ALL_TASKS)
    return str(path)


def built(name, dataset):
    task = registry.load("tasks", name)()
    spec = task.dataset(dataset)
    recipe = task.resolve(load_recipe("gated_fusion", {"width": 16}), spec)
    samples = task.load(task.adapt(spec, recipe), "train")
    torch.manual_seed(0)
    return task, task.build(recipe, task.assets(samples)).eval(), samples


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_a_model_answers_without_seeing_a_target_or_a_group(dataset, name):
    task, model, samples = built(name, dataset)
    chosen = list(samples[:12])
    blind = [Blind(sample.id, sample.inputs) for sample in chosen]
    with pytest.raises(AssertionError, match="target"):
        _ = blind[0].target
    answers = values_of(ModelPredictor(model, torch.device("cpu"), 4), blind, name)
    predictions, _ = task.conclude(chosen, answers)
    assert len(predictions) == 12
    if name == "vqa":
        majority = registry.load("predictors", "majority")()
        majority.fit(samples)
        assert len(values_of(majority, blind, "majority")) == 12


def test_a_sample_is_a_query_and_its_target():
    sample = Sample("test/1", {"text": "what?"}, "this", "image 1")
    assert sample.query == Query("test/1", {"text": "what?"})
    assert {field.name for field in dataclasses.fields(sample.query)} == {"id", "inputs"}
    assert sample.query.seed == sample.seed


def test_what_is_asked_about_one_image_stands_in_one_batch(dataset):
    _, _, samples = built("vqa", dataset)
    queries = samples.queries
    turned = queries[::2] + queries[1::2]
    batches = list(query_batches(turned, 3))
    assert sorted(place for batch in batches for place in batch) == list(range(len(turned)))
    images = [{turned[place].inputs["image"].row for place in batch} for batch in batches]
    assert all(len(rows) <= 3 for rows in images)
    assert sum(len(rows) for rows in images) == len({s.group for s in samples})


def test_answers_come_in_order_and_one_by_one(dataset):
    _, model, samples = built("vqa", dataset)
    queries = samples.queries
    turned = queries[::2] + queries[1::2]
    done = []
    predictor = ModelPredictor(model, torch.device("cpu"), 4, done.append)
    whole = [answer.value for answer in predictor.predict(turned)]
    assert sum(done) == len(turned)
    alone = [next(iter(predictor.predict([query]))).value for query in turned[::17]]
    assert alone == whole[::17]
    done.clear()
    next(iter(predictor.predict(queries)))
    assert 0 < sum(done) < len(queries)  # the first answer waits for the first batch alone


def test_a_text_that_is_asked_again_and_again_is_encoded_once(dataset, monkeypatch):
    _, model, samples = built("vqa", dataset)
    queries = samples.queries * 3
    texts = {query.inputs["text"] for query in queries}
    predictor = ModelPredictor(model, torch.device("cpu"), 4)
    monkeypatch.setattr("mmbench.experiments.infer._REPEATED", 10**9)
    each = values_of(predictor, queries, "vqa")
    monkeypatch.setattr("mmbench.experiments.infer._REPEATED", 2)
    rows = []
    model.encoder("text").register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    assert len(texts) * 2 <= len(queries)
    assert values_of(predictor, queries, "vqa") == each
    assert sum(rows) == len(texts)
    rows.clear()
    model.answer(model.collate(queries[:2]))  # nothing is kept for whoever asks afterwards
    assert sum(rows) >= 1
    rows.clear()
    asked = predictor.predict(queries)
    next(asked)
    asked.close()
    rows.clear()
    model.answer(model.collate(queries[:2]))
    assert sum(rows) >= 1


def test_small_batches_are_made_in_a_row_and_large_ones_one_by_one(dataset, monkeypatch):
    _, model, samples = built("vqa", dataset)
    done = []

    def noting(name):
        of = getattr(model, name)

        def noted(given):
            done.append(name)
            return of(given)

        return noted

    for name in ("collate", "answer"):
        monkeypatch.setattr(model, name, noting(name))
    predictor = ModelPredictor(model, torch.device("cpu"), 4)
    whole = values_of(predictor, samples.queries, "vqa")
    half = len(done) // 2
    assert done == ["collate"] * half + ["answer"] * half
    assert half > 2
    done.clear()
    monkeypatch.setattr("mmbench.experiments.infer._COLLATED_BYTES", 1)
    assert values_of(predictor, samples.queries, "vqa") == whole
    assert done == ["collate", "answer"] * half


class Echo:
    """A predictor from elsewhere, with an option and without `fit`."""

    def __init__(self, word: str = "yes") -> None:
        self.word = word

    def predict(self, queries):
        for query in queries:
            assert type(query) is Query
            yield Answer(self.word, 0.1) if "fail" not in self.word else Failure("no reply")


@pytest.fixture
def echo(monkeypatch):
    plain = registry.load

    def load(kind, name):
        return Echo if (kind, name) == ("predictors", "echo") else plain(kind, name)

    monkeypatch.setattr(registry, "load", load)
    monkeypatch.setattr(registry, "broken", lambda kind, name: "")
    monkeypatch.setattr(
        registry,
        "location",
        lambda kind, name, plain=registry.location: (
            (__name__, "Echo") if name == "echo" else plain(kind, name)
        ),
    )


def test_a_predictor_has_options_and_need_not_be_fitted(echo, dataset, tmp_path):
    recipe = tmp_path / "echo.yaml"
    recipe.write_text("predictor: {name: echo, word: 'no'}")
    result = mmbench.run("vqa", str(recipe), dataset=dataset, out=tmp_path)
    assert set(result.predictions()["prediction"]) == {"no"}
    assert result.record.identity.fitted_on == {}
    other = {"overrides": {"predictor.word": "yes"}}
    again = mmbench.run("vqa", str(recipe), dataset=dataset, out=tmp_path, **other)
    assert again.record.identity.hash != result.record.identity.hash
    with pytest.raises(MMBenchError, match="echo has no option 'wrd'. Did you mean word"):
        mmbench.run(
            "vqa", str(recipe), dataset=dataset, out=tmp_path, overrides={"predictor.wrd": "no"}
        )


def test_a_failure_is_no_answer(echo, dataset, tmp_path):
    recipe = tmp_path / "echo.yaml"
    recipe.write_text("predictor: {name: echo, word: fail}")
    with pytest.raises(MMBenchError, match="failed at all .* queries.*no reply") as error:
        mmbench.run("vqa", str(recipe), dataset=dataset, out=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("run.json"))


def test_too_few_answers_are_refused():
    class Short:
        def predict(self, queries):
            return iter([Answer("a")])

    with pytest.raises(MMBenchError, match="gave 1 answers to 2 queries"):
        values_of(Short(), [Query("1", {}), Query("2", {})], "short")


@pytest.fixture
def asked():
    """Three images with two texts each, and their embeddings."""
    rng = np.random.default_rng(0)
    samples, answers = [], []
    for image in range(3):
        samples.append(Sample(f"{image}", {"image": image}, "image_to_text", f"{image}"))
        for text in range(2):
            samples.append(Sample(f"{image}#{text}", {"text": "a"}, "text_to_image", f"{image}"))
    for _ in samples:
        answers.append(Embedded(rng.normal(size=4).astype(np.float32)))
    return samples, answers


def test_embeddings_and_their_scores_rank_alike(asked):
    samples, answers = asked
    by_embedding, notes = ranks_of(samples, answers)
    unit = [a.embedding / np.linalg.norm(a.embedding) for a in answers]
    scored = []
    for sample, own in zip(samples, unit, strict=True):
        gallery = [u for s, u in zip(samples, unit, strict=True) if s.target != sample.target]
        scored.append(Scored(np.array([own @ u for u in gallery])))
    by_score, _ = ranks_of(samples, scored)
    assert [r.tolist() for r in by_score] == [r.tolist() for r in by_embedding]
    assert [len(r) for r in by_score] == [2, 1, 1] * 3
    assert notes == []


def test_candidates_are_ordered_anew_and_what_was_found_before_is_noted(asked):
    samples, answers = asked
    again = [
        a._replace(candidates=np.array([0, 1]), scores=np.array([0.0, 1.0], np.float32))
        if s.target == "text_to_image"
        else a
        for s, a in zip(samples, answers, strict=True)
    ]
    ranks, (note,) = ranks_of(samples, again)
    assert ranks[4].tolist() in ([1], [2])  # the second image, which the scores put first
    assert "before 2 are ranked anew" in note


def test_answers_that_retrieval_cannot_rank_are_refused(asked):
    samples, answers = asked
    with pytest.raises(MMBenchError, match="all embeddings .D,., or all `Scored`"):
        ranks_of(samples, ["a"] * len(samples))
    with pytest.raises(MMBenchError, match="all embeddings .D,., or all `Scored`"):
        ranks_of(samples, [*answers[:-1], Scored(np.zeros(3))])
    with pytest.raises(MMBenchError, match="scores .* items where the gallery has 6"):
        ranks_of(samples, [Scored(np.zeros(3))] * len(samples))
    with pytest.raises(MMBenchError, match="queries of both sides"):
        ranks_of(samples[:1], answers[:1])


def test_plug_ins_of_an_earlier_contract_are_told_what_changed():
    from mmbench.model import TaskModel

    with pytest.raises(MMBenchError, match="earlier mmbench.*losses.*collate_training") as error:

        class Old(TaskModel):
            def collate(self, samples, targets=True):
                return {}

            def loss(self, batch, label_smoothing=0.0):
                return 0

    assert "\n" not in str(error.value)

    class Plain:
        def predict(self, samples):
            return ["yes" for _ in samples]

    with pytest.raises(MMBenchError, match="plain gives a str where it must give an Answer"):
        values_of(Plain(), [Query("1", {})], "plain")

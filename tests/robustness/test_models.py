"""What models of every task and fusion make of inputs that are missing, damaged or kept."""

import numpy as np
import pytest
import torch

from mmbench import registry
from mmbench.corruptions.conditions import UNDAMAGED, conditions_of, shuffled
from mmbench.experiments.asked_again import Asked
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.score import load_metrics
from mmbench.model import TaskModel, move
from mmbench.recipe import Part, load_recipe

CPU = torch.device("cpu")
METRICS = {
    "captioning": "bleu_1",
    "generation": "faithfulness",
    "retrieval": "text_to_image_recall_at_1",
    "vqa": "accuracy",
}


def asked_of(task, model, samples, batch=16):
    metric = load_metrics([METRICS[task.name]])[0]
    modalities = [m for m in model.encoders if m in task.inputs]
    return Asked(task, model.eval(), CPU, samples, metric, modalities, batch=batch)


def same(a, b):
    if isinstance(a, tuple):
        return all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)
    return np.array_equal(a, b)


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_every_task_is_asked_under_every_condition_of_its_inputs(small_model, name):
    task, model, samples = small_model(name)
    samples = samples.limited(12, groups=True)
    asked = asked_of(task, model, samples)
    modalities = [m for m in model.encoders if m in task.inputs]
    conditions, _ = conditions_of(modalities)
    assert {c.modality for c in conditions} == set(modalities)
    wanted = [c for c in conditions if c.level in (1, c.of)]
    wanted += [shuffled(m) for m in modalities] if task.answers_by_sample else []
    for condition in [UNDAMAGED, *wanted]:
        assert asked.impossible(condition) is None
        statistics, replicates, value = asked.under(condition)
        assert np.isfinite(value)
        assert len(statistics) == len(samples)
        assert replicates is None or np.isfinite(replicates).any()


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_what_is_kept_of_inputs_changes_no_answer(small_model, name):
    _, model, samples = small_model(name)
    model.eval()
    queries = samples.limited(10, groups=True).queries
    predictor = ModelPredictor(model, CPU, 4)
    before = list(predictor.before_conclusion(queries))
    model.keep(queries, list(model.encoders))
    batch = model.collate(queries[:3])
    assert any(key.endswith("_stream") for key in batch)
    kept = list(predictor.before_conclusion(queries))
    assert all(same(a, b) for a, b in zip(before, kept, strict=True))
    model.keep([], [])
    assert not any(key.endswith("_stream") for key in model.collate(queries[:3]))


@pytest.mark.parametrize("name", registry.names("tasks"))
def test_without_an_input_its_content_changes_no_answer(small_model, name):
    task, model, samples = small_model(name)
    model.eval()
    predictor = ModelPredictor(model, CPU, 4)
    for modality in [m for m in model.encoders if m in task.inputs]:
        queries = [q for q in samples.limited(8, groups=True).queries if modality in q.inputs]
        values = [q.inputs[modality] for q in queries][::-1]
        others = [
            type(q)(q.id, {**q.inputs, modality: value})
            for q, value in zip(queries, values, strict=True)
        ]
        without = [list(predictor.before_conclusion(q, modality)) for q in (queries, others)]
        assert all(same(a, b) for a, b in zip(*without, strict=True))
        kept = [q.query if hasattr(q, "target") else q for q in queries]
        model.keep(kept, [modality])
        assert all(
            same(a, b)
            for a, b in zip(without[0], predictor.before_conclusion(kept, modality), strict=True)
        )
        model.keep([], [])


def logits(model, queries, without=None):
    batch = model.collate(queries)
    batch = batch if without is None else model.without(batch, without)
    with torch.inference_mode():
        return model(move(batch, CPU)).logits


@pytest.mark.parametrize("fusion", [*registry.names("fusions"), *registry.names("late_fusions")])
def test_every_fusion_answers_without_either_input(small_model, fusion):
    _, model, samples = small_model("vqa", fusion=Part(name=fusion))
    model.eval()
    with torch.no_grad():  # a gate that begins at zero lets nothing pass yet
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    queries = samples.queries[:8]
    whole = logits(model, queries)
    for modality in model.encoders:
        found = logits(model, queries, modality)
        assert found.isfinite().all()
        assert not torch.allclose(found, whole)
    both = model.without(model.without(model.collate(queries), "text"), "image")
    with torch.inference_mode():
        nothing = model(both).logits
    assert nothing.isfinite().all()
    assert torch.allclose(nothing, nothing[:1].expand_as(nothing), atol=1e-5)
    if fusion == "mcb":  # a product with a question of zeros is zero
        return
    # The image still tells questions apart when all that is missing is the question.
    without_text = logits(model, samples.queries[:40], "text")
    images = [q.inputs["image"] for q in samples.queries[:40]]
    different = [at for at, image in enumerate(images) if image != images[0]]
    assert (without_text[different] - without_text[0]).abs().max() > 1e-6


def test_a_question_with_choices_can_lack_an_input(small_model):
    from mmbench.data.sample import Sample

    task, _, samples = small_model("vqa")
    own = [
        Sample(
            s.id,
            {**s.inputs, "choices": ("red", s.target) if n % 2 else (s.target, "a", "b")},
            s.target,
            s.group,
        )
        for n, s in enumerate(samples)
    ]
    recipe = task.resolve(load_recipe("gated_fusion", {"width": 16}), task.dataset("scenes"))
    torch.manual_seed(0)
    model = task.build(recipe, task.assets(own)).eval()
    queries = [sample.query for sample in own[:6]]
    whole = logits(model, queries)
    for modality in ("text", "image"):
        found = logits(model, queries, modality)
        assert found.shape == whole.shape
        assert torch.equal(found.isinf(), whole.isinf())
        assert not torch.equal(found, whole)
    model.keep(queries, ["text", "image"])
    assert torch.allclose(logits(model, queries), whole, atol=1e-5)


class Opaque(TaskModel):
    """A model of someone else's that knows nothing of missing inputs."""

    encoders = {"text": None}

    def collate(self, queries):
        return {"length": torch.tensor([len(q.inputs["text"]) for q in queries])}

    def collate_training(self, samples, rng):
        return self.collate(samples)

    def losses(self, batch, label_smoothing=0.0):
        return {}

    def answer(self, batch):
        return ["yes" if length % 2 else "no" for length in batch["length"].tolist()]


def test_a_model_that_cannot_lack_an_input_is_asked_all_else(small_model):
    task, _, samples = small_model("vqa")
    asked = asked_of(task, Opaque(), samples)
    conditions, _ = conditions_of(["text"])
    refused = {c.corruption for c in conditions if asked.impossible(c)}
    assert refused == {"missing"}
    typos = next(c for c in conditions if c.corruption == "typos" and c.level == 5)
    assert asked.under(typos)[2] != asked.under(UNDAMAGED)[2]

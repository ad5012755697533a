"""`--compile`: the same model, trained and asked by compiled functions."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch._inductor import config as inductor

import mmbench
from mmbench.compiled import _Steady, check_compiler, compiled, compiling
from mmbench.errors import MMBenchError
from mmbench.experiments.conditions import footnotes
from mmbench.experiments.infer import ModelPredictor, flops_per_sample
from mmbench.experiments.plan import make_plan
from mmbench.recipe import Train
from mmbench.records.store import PREDICTIONS_FILE, WEIGHTS_FILE
from mmbench.request import run_request
from mmbench.stages import Stage
from mmbench.training.objectives.weighted import WeightedObjectives, total

CPU = torch.device("cpu")
WORDS_ALONE = {"encoders.text": "bag_of_words"}  # little to compile


@pytest.fixture(scope="session")
def compiler():
    try:
        check_compiler(CPU)
    except MMBenchError as error:
        pytest.skip(str(error))


@pytest.fixture
def without_compiler():
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}):
        yield


def test_a_function_is_left_as_it_is_where_nothing_is_to_be_compiled(without_compiler):
    with compiling(False, CPU):
        assert compiled(torch.sin) is torch.sin
    assert compiled(torch.sin) is torch.sin


def test_a_cpu_without_a_compiler_is_one_line_before_anything_is_trained(
    mini, tmp_path, without_compiler
):
    settings = {"dataset": mini, "device": "cpu", "out": tmp_path, "compile": True}
    calls = (
        lambda: mmbench.run("vqa", "gated_fusion", train=True, **settings),
        lambda: mmbench.compare("vqa", ["gated_fusion", "concat_fusion"], seeds=1, **settings),
    )
    for call in calls:
        with pytest.raises(
            MMBenchError, match=r"compile=True needs a C\+\+ compiler.*g\+\+"
        ) as said:
            call()
        assert "\n" not in str(said.value)
    assert not list(tmp_path.rglob("run.json"))


def test_a_predictor_without_a_model_needs_no_compiler(mini, tmp_path, without_compiler):
    run = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path, compile=True)
    assert not run.record.environment.compiled


@pytest.mark.whole
def test_what_torch_cannot_compile_is_one_line(compiler):
    def broken(x):
        torch._dynamo.graph_break()  # compiled in two, but for an error of the compiler itself
        raise torch._dynamo.exc.InternalTorchDynamoError("no such\nthing")

    said = pytest.raises(MMBenchError, match="cannot compile this model: no such thing")
    with said, compiling(True, CPU):
        compiled(broken)(torch.ones(2))


@pytest.mark.whole
def test_one_program_serves_batches_of_all_sizes(compiler):
    def softened(batch, scale):
        return {name: (x * scale).softmax(-1).sum(0) for name, x in batch.items()}

    torch._dynamo.utils.counters.clear()
    with compiling(True, CPU):
        function = compiled(softened)
        assert function is not softened
        for rows, width in ((4, 3), (7, 5), (3, 9), (12, 2), (5, 5)):
            batch = {"a": torch.rand(rows, width), "b": torch.rand(width, rows)}
            for name, found in function(batch, 2.0).items():
                torch.testing.assert_close(found, softened(batch, 2.0)[name])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


def test_a_balancing_method_is_refused_since_its_own_gradients_would_come_out_as_zero(mini):
    settings = {"task": "vqa", "model": "gated_fusion", "dataset": mini, "compile": True}
    settings["overrides"] = {"balance": "mmpareto"}
    with pytest.raises(MMBenchError, match="compile=True .*balance.*mmpareto"):
        make_plan(run_request(**settings, train=True))


@pytest.mark.whole
def test_what_is_compiled_lies_in_a_folder_that_ends_with_the_process(compiler):
    script = """
import os, torch
from mmbench.compiled import check_compiler
check_compiler(torch.device("cpu"))
print(os.environ["TORCHINDUCTOR_CACHE_DIR"], len(os.listdir(os.environ["TORCHINDUCTOR_CACHE_DIR"])))
"""
    environment = {k: v for k, v in os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    folder, count = said.stdout.split()
    assert int(count) > 0
    assert not os.path.exists(folder)


def test_sizes_that_come_again_and_again_get_a_program_of_their_own():
    sizes = _Steady(often=3)
    found = [sizes.seen(size) for size in [*"abcc", *"aaaaa", *"baabbbbba"]]
    assert "".join("+" if yes else "-" for yes in found) == "----" + "---++" + "-++-----+"


@pytest.mark.parametrize(("task", "whole"), [("vqa", True), ("captioning", False)])
def test_answers_are_compiled_but_where_they_are_written_step_by_step(
    compiler, small_model, task, whole
):
    _, model, _ = small_model(task)
    with compiling(True, CPU):
        predictor = ModelPredictor(model, CPU, 7)
    assert (predictor._answer == model.answer) != whole


def trained_step(model, objectives, samples, seed):
    """Losses and gradients of a step, and the names of what was trained."""
    losses = compiled(objectives.losses)
    batches = objectives.collate(model, samples, np.random.default_rng(0))
    torch.manual_seed(seed)
    found = losses(model, batches)
    total(found).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return {n: x.item() for n, x in found.items()}, gradients


@pytest.mark.whole
def test_a_compiled_step_is_the_step_and_leaves_the_model_as_it_is(compiler, small_model):
    recipe = "question_only"
    _, model, samples = small_model("vqa", recipe, **WORDS_ALONE)
    objectives = WeightedObjectives(Stage(name="one", objective="task"), model, Train()).train()
    objectives.prepare(model, samples)
    names, queries = list(model.state_dict()), samples.queries
    model.train()
    expected = [trained_step(model, objectives, samples[:n], n) for n in (20, 13, 31)]
    operations = flops_per_sample(model, queries, CPU)
    answers = list(ModelPredictor(model, CPU, 7).predict(queries))
    torch._dynamo.utils.counters.clear()
    with compiling(True, CPU):
        model.train()
        for n, (losses, gradients) in zip((20, 13, 31), expected, strict=True):
            found, compiled_gradients = trained_step(model, objectives, samples[:n], n)
            assert found == pytest.approx(losses, rel=1e-5)
            assert compiled_gradients.keys() == gradients.keys()
            for name, gradient in gradients.items():
                torch.testing.assert_close(compiled_gradients[name], gradient, atol=1e-6, rtol=1e-3)
        assert flops_per_sample(model, queries, CPU) == operations > 0
        predictor = ModelPredictor(model, CPU, 7)
        predictor.warm_up(queries)
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert before > 0
        assert [a.value for a in predictor.predict(queries)] == [a.value for a in answers]
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before
    assert list(model.state_dict()) == names


@pytest.mark.whole
def test_compiled_runs_are_runs_of_their_own_that_repeat_and_say_so(compiler, mini, tmp_path):
    overrides = {"width": 16, "train.epochs": 2}
    settings = {"dataset": mini, "train": True, "device": "cpu", "overrides": overrides}
    plain = mmbench.run("vqa", "gated_fusion", out=tmp_path / "plain", **settings)
    outs = (tmp_path / "one", tmp_path / "two")
    one, two = (
        mmbench.run("vqa", "gated_fusion", out=out, compile=True, **settings) for out in outs
    )
    assert (plain.record.environment.compiled, one.record.environment.compiled) == (False, True)
    assert (plain.record.identity.compiled, one.record.identity.compiled) == (None, True)
    assert one.record.identity.hash == two.record.identity.hash != plain.record.identity.hash
    assert one.record.files[PREDICTIONS_FILE] == two.record.files[PREDICTIONS_FILE]
    assert one.record.files[WEIGHTS_FILE] == two.record.files[WEIGHTS_FILE]
    assert one.record.flops_per_sample == plain.record.flops_per_sample
    assert one.value == pytest.approx(plain.value, abs=0.05)
    assert any("compiled" in note for note in footnotes([plain.record, one.record]))
    again = mmbench.run("vqa", "gated_fusion", out=outs[0], compile=True, **settings)
    assert again.reused
    weights = one.path / WEIGHTS_FILE
    checked = mmbench.run(
        "vqa", "gated_fusion", dataset=mini, checkpoint=weights, overrides=overrides,
        device="cpu", out=tmp_path / "checkpoint",
    )  # fmt: skip
    assert checked.value == pytest.approx(one.value, abs=1e-9)

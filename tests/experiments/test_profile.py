"""What a model costs: by part, alone, in batches; the same operations as a run counts."""

import json
import time

import pytest
import torch
from torch import nn

import mmbench
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.experiments.attribution import REST, Attribution, parameters_by_part
from mmbench.experiments.batch_search import search_batches
from mmbench.model import parameter_counts

SIZES = ("trained", "frozen", "operations", "answer_seconds", "forward_seconds", "backward_seconds")


@pytest.fixture(scope="module")
def found(mini_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mini_folder))
        yield mmbench.profile(
            "vqa",
            "gated_fusion",
            dataset=str(mini_folder / "mini.yaml"),
            batch=4,
            search=0.2,
            limit=60,
            device="cpu",
        )


@pytest.fixture(scope="module")
def trained(mini_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mini_folder))
        yield mmbench.run(
            "vqa",
            "gated_fusion",
            dataset=str(mini_folder / "mini.yaml"),
            train=True,
            overrides={"train.epochs": 1},
            limit=60,
            device="cpu",
            out=tmp_path_factory.mktemp("profile"),
        )


def test_it_counts_what_a_run_counts(found, trained):
    assert found.flops_per_sample == trained.record.flops_per_sample
    assert found.total.trained == sum(trained.record.parameters.values())
    assert {p.part: p.trained for p in found.parts if p.trained} == trained.record.parameters


def test_parts_add_up_to_the_whole(found):
    assert [p.part for p in found.parts] == [
        *("encoders.text", "encoders.image", "fusion", "decoder", REST)
    ]
    assert found.total.operations == pytest.approx(found.flops_per_sample)
    frame = found.to_frame().set_index("part")
    for size in SIZES:
        assert frame.loc["all", size] == pytest.approx(frame.drop("all")[size].sum())
    for part in found.parts[:-1]:
        assert min(part.operations, part.answer_seconds) > 0
        assert min(part.forward_seconds, part.backward_seconds) > 0


def test_batches_double_from_one(found):
    sizes = [cost.batch for cost in found.batches]
    assert sizes == [2**power for power in range(len(sizes))]
    assert found.alone.batch == 1
    assert found.largest.samples == found.batches_frame()["samples"].max()
    speeds = found.batches_frame()["samples_per_second"]
    assert found.quickest.samples_per_second == speeds.max()
    assert found.latency_p50 <= found.latency_p95


def test_weights_of_a_checkpoint_cost_the_same(found, trained, mini):
    of_file = mmbench.profile(
        *("vqa", "gated_fusion"),
        dataset=mini,
        overrides={"train.epochs": 1},
        checkpoint=trained.path / "weights.safetensors",
        batch=2,
        search=0.0,
        limit=60,
        device="cpu",
    )
    assert of_file.weights.endswith("weights.safetensors")
    assert of_file.flops_per_sample == found.flops_per_sample
    assert of_file.total.trained == found.total.trained


@pytest.mark.whole
def test_the_command_prints_a_table_and_the_same_as_json(mmbench, mini_folder):
    options = ["profile", "--task", "vqa", "--dataset", str(mini_folder / "mini.yaml")]
    options += ["--model", "concat_fusion", "--batch", "2", "--search", "0", "--device", "cpu"]
    done = mmbench(*options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == [
        *("part", "trained", "frozen", "operations", "answer", "forward", "backward")
    ]
    assert {"encoders.text", "fusion", "decoder", "all"} <= {
        line.split()[0] for line in lines if line.strip()
    }
    value = json.loads(mmbench(*options, "--json").stdout)
    assert value["model"] == "concat_fusion"
    assert sum(part["operations"] for part in value["parts"]) == value["flops_per_sample"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "majority"}, "no network"),
        ({"model": "gated_fuson"}, "Did you mean gated_fusion"),
        ({"batch": 0}, "batch= must be at least 1"),
        ({"search": -1.0}, "search= must be at least 0"),
        ({"device": "cuda:9"}, "no device 'cuda:9'"),
        ({"checkpoint": "nowhere.safetensors"}, "nowhere"),
    ],
)
def test_a_mistake_is_one_line(mini, options, says):
    with pytest.raises(MMBenchError, match=says) as error:
        mmbench.profile(**{"task": "vqa", "model": "gated_fusion", "dataset": mini} | options)
    assert "\n" not in str(error.value)


class Nested(nn.Module):
    """A stand-in with the names of a model's parts, whose decoder takes its input twice."""

    def __init__(self):
        super().__init__()
        self.encoders = nn.ModuleDict({"text": nn.Linear(4, 4), "image": nn.Linear(4, 4)})
        self.decoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        return self.decoder(self.encoders["text"](x) * self.encoders["image"](x))


def test_each_event_is_charged_to_the_innermost_part_that_runs():
    model, ticks = Nested(), iter(range(10_000))
    attribution = Attribution(model, lambda: next(ticks))
    with attribution.forward():
        loss = model(torch.ones(3, 4)).sum()
    forward = dict(attribution.by_part)
    assert forward["decoder"] > forward["encoders.text"] == forward["encoders.image"] > 0
    attribution.backward(loss)
    assert all(p.grad is not None for p in model.parameters())
    backward = {part: n - forward[part] for part, n in attribution.by_part.items()}
    # Each linear layer has three nodes or more: of itself, and of its two parameters.
    assert backward["decoder"] >= 7
    assert min(backward["encoders.text"], backward["encoders.image"]) >= 3
    assert backward[REST] >= 2  # the sum and the product
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_are_those_of_a_plain_backward():
    torch.manual_seed(0)
    model, x = Nested(), torch.randn(3, 4)
    model(x).square().sum().backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    attribution = Attribution(model, time.perf_counter)
    with attribution.forward():
        loss = model(x).square().sum()
    attribution.backward(loss)
    assert all(map(torch.equal, plain, [p.grad for p in model.parameters()]))


def test_parameters_that_do_not_learn_are_frozen_ones():
    model = Nested()
    model.encoders["image"].requires_grad_(False)
    counts = parameters_by_part(model)
    assert counts == {"encoders.text": (20, 0), "encoders.image": (0, 20), "decoder": (30, 0)}
    assert {part: sum(both) for part, both in counts.items()} == parameter_counts(model)


QUERIES = [Query(str(number), {"text": f"word {number}"}) for number in range(64)]


def test_a_search_stops_where_memory_ends_and_keeps_what_fits():
    def answer(queries):
        if len(queries) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")

    found = search_batches(answer, QUERIES, torch.device("cpu"), 60.0)
    assert found.largest.batch <= 8
    if found.largest.batch == 8:
        assert "16 find no memory" in found.stopped


def test_a_search_stops_at_all_samples_or_the_time(monkeypatch):
    ticks = iter(range(0, 1_000_000, 1))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))  # one tick a batch
    found = search_batches(lambda _: None, QUERIES, torch.device("cpu"), 1e9)
    assert [cost.samples for cost in found.tried] == [1, 2, 4, 8, 16, 32, 64]
    assert "all 64 samples" in found.stopped
    assert len(search_batches(lambda _: None, QUERIES, torch.device("cpu"), 0.0).tried) == 1


def test_a_search_without_room_for_one_is_one_line():
    def answer(queries):
        raise MemoryError

    with pytest.raises(MMBenchError, match="not even one sample"):
        search_batches(answer, QUERIES, torch.device("cpu"), 1.0)
    with pytest.raises(RuntimeError, match="a bug"):
        search_batches(lambda _: _bug(), QUERIES, torch.device("cpu"), 1.0)


def _bug():
    raise RuntimeError("a bug")

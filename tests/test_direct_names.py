"""Parts that are named by where they are written, and entry points that lead nowhere."""

import json
import subprocess
import sys

import pytest

import mmbench
from mmbench import registry
from mmbench.checks.parts import failures
from mmbench.cli.show import show_text
from mmbench.errors import MMBenchError
from mmbench.experiments.plan import make_plan
from mmbench.experiments.rescore import verify_records
from mmbench.request import run_request
from tests.conftest import command_line, environment

SUM = """
from mmbench.zoo.fusion.base import Fused, PooledFusion
from mmbench.zoo.stream import Stream
from their_scales import SCALE


class Mine(PooledFusion):
    "The sum, scaled."

    def fuse(self, vectors, present):
        return Fused(Stream(SCALE * sum(vectors), present[0]))
"""
LATE = """
from mmbench.zoo.fusion.late_mean import LateMean


class Late(LateMean):
    "The mean."
"""


METRIC = """
import numpy as np
from mmbench.metrics.base import MeanMetric


class Caseless(MeanMetric):
    "Equal whatever the case."

    name = "caseless"
    source = "here"

    def statistics(self, predictions, targets):
        pairs = zip(predictions, targets)
        return np.array([[float(p.lower() == t.lower())] for p, t in pairs])
"""
OBJECTIVE = """
from mmbench.training.objectives.base import Objective


class Small(Objective):
    "L = mean of the squares of what the fusion has for parameters."

    def __init__(self, model):
        super().__init__()

    def collate(self, model, samples, rng):
        return {}

    def losses(self, model, batch):
        values = [p.square().mean() for p in model.fusion.parameters()]
        return {"small": sum(values) / len(values)}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder that one works in, with modules of one's own."""
    (tmp_path / "their_fusion.py").write_text(SUM)
    (tmp_path / "their_scales.py").write_text("SCALE = 1.0\n")
    (tmp_path / "their_late.py").write_text(LATE)
    (tmp_path / "their_slip.py").write_text("class Mine(:\n")
    (tmp_path / "their_metric.py").write_text(METRIC)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").touch()
    (tmp_path / "theirs" / "objective.py").write_text(OBJECTIVE)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def identity(dataset, fusion):
    request = run_request(
        task="vqa",
        model="concat_fusion",
        dataset=dataset,
        train=True,
        overrides={"fusion": fusion},
        device="cpu",
    )
    return make_plan(request).identity


def test_a_fusion_in_the_folder_one_works_in_needs_no_entry_point(mini, here):
    first = identity(mini, "their_fusion:Mine")
    assert first.settings["fusion"] == "their_fusion:Mine"
    assert first.parts["fusions:their_fusion:Mine"].startswith("sha256:")
    (here / "their_scales.py").write_text("SCALE = 2.0\n")
    assert identity(mini, "their_fusion:Mine").hash != first.hash


def test_a_fusion_of_decisions_is_told_from_one_of_streams_without_importing_it(here):
    kinds = ("fusions", "late_fusions")
    assert registry.kind_of("their_late:Late", kinds) == "late_fusions"
    assert registry.kind_of("their_fusion:Mine", kinds) == "fusions"
    assert registry.kind_of("mmbench.zoo.fusion.gated:GatedFusion", kinds) == "fusions"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:Mine", "there is no module 'no_such_module'"),
        ("their_fusion:Mein", "defines no 'Mein'. Did you mean Mine"),
        ("their_slip:Mine", "their_slip.py, line 1, is not Python"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(here, name, says):
    with pytest.raises(MMBenchError, match=says) as raised:
        registry.load(registry.kind_of(name, ("fusions", "late_fusions")), name)
    assert "\n" not in str(raised.value)


def test_a_metric_goes_by_where_it_is_written_in_records_and_tables(here):
    (here / "given.jsonl").write_text('{"id": 1, "prediction": "Red"}\n')
    (here / "right.jsonl").write_text('{"id": 1, "target": "red"}\n')
    name = "their_metric:Caseless"
    result = mmbench.score("vqa", "given.jsonl", "right.jsonl", metrics=[name, "accuracy"])
    values = {entry.name: entry.value for entry in result.record.metrics}
    assert values == {name: 1.0, "accuracy": 0.0}
    assert result.record.primary.signature == f"{name}|v:1"
    assert [why for _, why in verify_records([result.path])] == [None]
    head = mmbench.report("results").splitlines()[2]
    assert "Caseless" in head
    assert "their_metric" not in head
    assert failures("metric", name) == []


def test_a_metric_of_another_library_is_not_taken_for_a_module():
    assert not registry.has("metrics", "evaluate:config")
    assert not registry.has("metrics", "torchmetrics:Metric")


def test_an_objective_of_a_package_in_the_folder_trains(mini, here):
    run = mmbench.run(
        "vqa",
        "concat_fusion",
        dataset=mini,
        train=True,
        overrides={
            "width": 8,
            "train.epochs": 1,
            "stages": [{"name": "a", "objective": {"task": 1, "theirs.objective:Small": 0.5}}],
        },
    )
    assert run.record.identity.parts["objectives:theirs.objective:Small"].startswith("sha256:")
    (epoch,) = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert "theirs.objective:Small.small" in epoch["losses"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("their_metric:Caseless", "metric"),
        ("their_fusion:Mine", "fusion"),
        ("their_late:Late", "late fusion"),
        ("theirs.objective:Small", "objective"),
    ],
)
def test_show_says_what_it_is(here, name, kind):
    assert show_text(name).startswith(f"{kind} {name}")


@pytest.mark.parametrize("kind", ["fusions", "encoders"])
def test_broken_entry_points_are_named_in_the_list_and_take_nothing_down(tmp_path, kind):
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[mmbench.{kind}]\ngone = their_gone:Mine\nslip = their_slip:Mine\n"
        "other = their_file:Mein\n"
    )
    (tmp_path / "their_slip.py").write_text("class Mine(:\n")
    (tmp_path / "their_file.py").write_text("class Mine:\n    'Mine.'\n")
    done = subprocess.run(
        command_line("list", kind), env=environment(tmp_path), capture_output=True, text=True
    )
    lines = {line.split(" ")[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 0, done.stderr
    assert "broken: there is no module 'their_gone'" in lines["gone"]
    assert "their-parts" in lines["gone"]
    assert "line 1" in lines["slip"]
    assert "no 'Mein'" in lines["other"]
    assert len(lines) > 5

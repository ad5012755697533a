"""Parts that are named by where they are written, and entry points that lead nowhere."""

import subprocess
import sys

import pytest

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.experiments.plan import make_plan
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


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder that one works in, with modules of one's own."""
    (tmp_path / "their_fusion.py").write_text(SUM)
    (tmp_path / "their_scales.py").write_text("SCALE = 1.0\n")
    (tmp_path / "their_late.py").write_text(LATE)
    (tmp_path / "their_slip.py").write_text("class Mine(:\n")
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

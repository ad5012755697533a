"""A study as a job array: scripts and requests that a cluster carries out, run here one by one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmbench.errors import MMBenchError
from mmbench.experiments.array_script import array_script
from mmbench.experiments.study import run_study
from mmbench.experiments.study_setup import prepare
from mmbench.study import make_study
from tests.conftest import environment

SMALL = "width: 16\nencoders: {{text: bag_of_words}}\nfusion: {}\ntrain: {{epochs: 1}}\n"


@pytest.fixture
def study(mini, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for fusion in ("concat", "sum"):
        Path(f"{fusion}.yaml").write_text(SMALL.format(fusion))
    return make_study(
        name="both of them",
        task="vqa",
        dataset=mini,
        models="concat.yaml,sum.yaml",
        seeds="0,3",
        references=[],
        out=Path("out"),
    )


@pytest.mark.whole
def test_each_job_makes_a_record_and_the_study_collects_them(study, mini_folder, tmp_path):
    script = tmp_path / "array.sh"
    script.write_text(array_script(prepare(study)))
    assert "--array=0-3" in script.read_text()
    found = environment(mini_folder)
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    for job in ("0", "2"):
        told = found | {"SLURM_ARRAY_TASK_ID": job}
        subprocess.run(["bash", script], env=told, cwd="/", check=True, capture_output=True)
    left = array_script(prepare(study))
    assert "--array=0-1" in left
    assert "mmbench compare '" in left
    result = run_study(study)
    assert result.runs == 4
    assert len(result.reused) == 2
    with pytest.raises(MMBenchError, match="has a record of every run"):
        array_script(prepare(study))


@pytest.mark.usefixtures("from_command_line")
def test_trials_that_depend_on_each_other_are_not_spread(study):
    with pytest.raises(MMBenchError, match="trials of tuning.*without --array"):
        array_script(prepare(study.model_copy(update={"tune": 2})))

"""A study as a job array of Slurm: a request in a file for each run, and the script of the array.

The same study, called again, collects the records and makes the tables.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from mmbench.errors import MMBenchError
from mmbench.experiments.plan import make_plan
from mmbench.experiments.study_plan import why_new
from mmbench.experiments.study_setup import Prepared
from mmbench.records.writing import writing_to
from mmbench.request import RunRequest, placed
from mmbench.study import keep_study


def array_script(made: Prepared) -> str:
    """The script of the array; requests of the runs that have no record are written beside results.

    Raises: MMBenchError if there are none, or what they are comes only of a tuning that is not
        done: a trial depends on those before it.
    """
    study = made.study
    if made.plan.trials > made.plan.tried:
        raise MMBenchError(
            f"--array cannot spread {made.plan.trials - made.plan.tried} trials of tuning, each of "
            "which depends on those before: tune first, by the same command without --array"
        )
    requests = _new_requests(made)
    if not requests:
        raise MMBenchError(
            f"{study.name} has a record of every run: leave --array off to compare them"
        )
    file = keep_study(study).resolve()
    folder = file.with_suffix(".requests")
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.yaml"):
            old.unlink()
        for number, request in enumerate(requests):
            text = yaml.safe_dump(request.model_dump(mode="json", exclude_defaults=True))
            (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
    return _script(file, folder, len(requests))


def _new_requests(made: Prepared) -> list[RunRequest]:
    out = made.study.out.resolve()  # a job may begin in another folder
    asked = [
        entrant.plan.request.model_copy(update={"seed": seed})
        for entrants in made.entrants.values()
        for seed in made.study.seeds
        for entrant in entrants
    ]
    new = [request for request in asked if why_new(make_plan(request, made.read)) is not None]
    return [placed(request).model_copy(update={"out": out}) for request in new]


def _script(study: Path, folder: Path, count: int) -> str:
    task = '"${SLURM_ARRAY_TASK_ID:-$1}"'  # or by hand: bash script.sh 0
    return "\n".join(
        (
            "#!/bin/bash",
            f"#SBATCH --job-name={shlex.quote(study.stem)}",
            f"#SBATCH --array=0-{count - 1}",
            f"#SBATCH --output={shlex.quote(str(folder / '%a.log'))}",
            "# Add what your cluster asks for: --time, --mem, --gres=gpu:1; for example, %8 jobs",
            "# at once after the array's range. When it is done, this makes the tables:",
            f"# mmbench compare {shlex.quote(str(study))}",
            f"exec mmbench run --quiet --request {shlex.quote(str(folder))}/{task}.yaml",
        )
    )

"""How long robustness takes beside one evaluation: both modalities missing at five rates.

On easy-VQA's test split (9,673 questions about 1,000 images), with shipped weights. An evaluation
is answering and scoring, with data and model at hand. "robustness" is all that `--robustness` asks
then (the undamaged inputs, four more rates of either modality, and each input shuffled), its file
written after every condition; "whole" is `mmbench.robustness`, which reads data and weights too,
and makes the curves with their intervals.

    python benchmarks/robustness.py [--model gated_fusion] [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

import mmbench
from mmbench.computing import exact_float32
from mmbench.corruptions.conditions import UNDAMAGED, conditions_of, shuffled
from mmbench.experiments.answers import values_of
from mmbench.experiments.asked_again import Asked
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.plan import make_plan
from mmbench.experiments.score import per_sample
from mmbench.experiments.train import ready_model
from mmbench.experiments.watch import SILENT
from mmbench.records.environment import environment
from mmbench.records.robustness_file import ConditionEntry, Robustness, RobustnessFile, made_of
from mmbench.request import run_request

AT_MOST = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="gated_fusion")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as out, exact_float32():
        run = mmbench.run("vqa", given.model, out=out)
        plan = make_plan(run_request(task="vqa", model=given.model, out=Path(out)))
        samples, metric = plan.samples, plan.metrics[0]
        model = ready_model(plan, device, 128, Path(out), SILENT).model
        missing, _ = conditions_of(list(model.encoders), ["missing"])
        conditions = [UNDAMAGED, *missing, *map(shuffled, model.encoders)]
        made = made_of(run.record, run.statistics().samples, 0)
        where = environment("cpu", "cpu")

        def evaluate() -> None:
            answers = values_of(ModelPredictor(model, device, 128), samples.queries, given.model)
            per_sample([metric], samples, plan.task.conclude(samples, answers)[0])

        def ask() -> None:
            model.keep([], [])
            asked = Asked(plan.task, model, device, samples, metric, list(model.encoders))
            file = RobustnessFile(Robustness(made=made))
            for condition in conditions:
                kept, replicates, value = asked.under(condition)
                entry = ConditionEntry(**vars(condition), value=value)
                file.add(condition.key, entry, kept, replicates, where)
                file.write(run.path)
            model.keep([], [])

        def whole() -> None:
            mmbench.robustness(run, corruptions=["missing"], device="cpu", force=True)

        works = {"evaluation": evaluate, "robustness": ask, "whole": whole}
        for work in works.values():  # what is imported and cached is not in a time
            work()
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(given.repeats):  # in turn, so that a busy machine slows all
            for name, work in works.items():
                began = time.process_time()
                work()
                times[name].append(time.process_time() - began)
        for name, seconds in times.items():
            shown = ", ".join(f"{s:.2f}" for s in seconds)
            print(f"{name:<12} {statistics.median(seconds):.2f} s of the processor  ({shown})")
        print(f"{given.model}, {len(samples):,} questions, {len(conditions)} conditions:")
        for name in ("robustness", "whole"):
            pairs = zip(times["evaluation"], times[name], strict=True)
            ratio = statistics.median(b / a for a, b in pairs)
            print(f"  {name}: {ratio:.1f} times one evaluation (at most {AT_MOST:g})")


if __name__ == "__main__":
    main()

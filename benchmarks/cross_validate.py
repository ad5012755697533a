"""Settings compared by cross-validation within train, where the held-out validation is small.

    python benchmarks/cross_validate.py --dataset vqa_rad --data-dir vqa_rad/ \
        concat_fusion_pretrained question_only_pretrained [--set train.epochs=16] [--folds 5]

What is held out of train for validation is put back, and groups (images) are drawn into folds by a
hash of their names; or, with --by, what agrees in a column of the dataset's table: `qid_linked_id`,
a question and its paraphrase, so that a fold asks new questions about known images. Each fold is
answered by a model trained on the others, after every few epochs (--every), so that one training
says how many it takes. The test split is not read. Of the task vqa.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mmbench import registry
from mmbench.data.sample import stable_number
from mmbench.experiments.answers import values_of
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.watch import SILENT
from mmbench.recipe import load_recipe, parse_overrides
from mmbench.stages import Stage
from mmbench.training.loop import fit
from mmbench.training.objectives.weighted import WeightedObjectives

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--set", action="append", default=[], help="as of `mmbench run`")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--run-folds", type=int, help="so many of them, all by default")
    parser.add_argument("--by", help="a column of the dataset's JSON table, in place of the group")
    parser.add_argument("--every", type=int, default=4, help="epochs between answers")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.by and not options.data_dir:
        parser.error("--by reads the dataset's table: say where it is by --data-dir")
    task = registry.load("tasks", "vqa")()
    spec = task.dataset(options.dataset).model_copy(update={"data_dir": options.data_dir})
    splits = [name for name, split in spec.splits.items() if "train" in (name, split.of)]
    read = [task.load(spec, name) for name in splits]
    whole = replace(read[0], samples=[sample for part in read for sample in part])
    together = together_by(options.by, spec, options.data_dir)
    for model in options.models:
        recipe = task.resolve(load_recipe(model, parse_overrides(options.set)), spec)
        right: dict[int, list[tuple[str, bool]]] = {}
        for fold in range(options.run_folds or options.folds):
            held_out = [stable_number(together(s)) % options.folds == fold for s in whole]
            train = [s for s, out in zip(whole, held_out, strict=True) if not out]
            rest = [s for s, out in zip(whole, held_out, strict=True) if out]
            for epoch, found in answered(task, recipe, whole, train, rest, model, options):
                right.setdefault(epoch, []).extend(found)
        for epoch, found in right.items():
            print(f"{model} epoch {epoch:3}: {shares(found)}", flush=True)


def together_by(column, spec, folder):
    """What says of a sample which of the others are in its fold."""
    if column is None:
        return lambda sample: sample.group
    rows = json.loads((folder / spec.layout.table).read_text(encoding="utf-8"))
    value = {str(row[spec.layout.columns["id"]]): str(row[column]) for row in rows}
    return lambda sample: value[sample.id]


def answered(task, recipe, whole, train, rest, name, options):
    """By epoch, of each sample of `rest` its category and whether the model was right."""
    found = []
    train = replace(whole, samples=train)
    rest = replace(whole, samples=rest)
    settings = recipe.train
    torch.manual_seed(options.seed)
    model = task.build(recipe, task.assets(train))
    torch.manual_seed(options.seed)
    stage = Stage(name="task", objective="task")
    objectives = WeightedObjectives(stage, model, settings, recipe.balance)
    objectives.prepare(model, [*train, *rest])
    epochs = iter(range(1, settings.epochs + 1))

    def score() -> float:
        epoch = next(epochs)
        if epoch % options.every and epoch != settings.epochs:
            return 0.0
        values = values_of(ModelPredictor(model, CPU, 256), rest.queries, name)
        answers, _ = task.conclude(rest, values)
        right = [a == s.target for a, s in zip(answers, rest, strict=True)]
        found.append((epoch, [(s.category, r) for s, r in zip(rest, right, strict=True)]))
        return float(np.mean(right))

    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            objectives,
            train,
            settings,
            score,
            seed=options.seed,
            device=CPU,
            folder=Path(folder),
            resume=False,
            watcher=SILENT,
        )
    return found


def shares(found: list[tuple[str | None, bool]]) -> str:
    """The share of right answers, of all and by category, in percent."""
    by = {"all": [right for _, right in found]}
    for category in sorted({str(category) for category, _ in found}):
        by[category] = [right for own, right in found if str(own) == category]
    return ", ".join(
        f"{name} {100 * np.mean(right):.1f} ({len(right)})" for name, right in by.items()
    )


if __name__ == "__main__":
    main()

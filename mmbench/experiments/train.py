"""A model with its weights: read from a checkpoint, or trained now, stage by stage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from mmbench.checkpoint import read_checkpoint
from mmbench.data.batches import GroupBatches
from mmbench.data.cache import cache_folder, discard, unwritable
from mmbench.errors import MMBenchError
from mmbench.experiments.infer import ModelPredictor
from mmbench.experiments.plan import Plan
from mmbench.experiments.watch import Watch
from mmbench.model import Stage, TaskModel, move
from mmbench.recipe import Train, digest
from mmbench.training.loop import Trained, fit
from mmbench.yaml_file import validate

_SHARED_SEED = 0  # of the stages that all runs of a comparison share


def ready_model(
    plan: Plan, device: torch.device, batch: int, state: Path, resume: bool, watch: Watch
) -> tuple[TaskModel, Trained | None]:
    """The model with its weights, and how it was trained if it was trained now."""
    torch.manual_seed(plan.seed)
    if plan.checkpoint is not None:
        checkpoint = read_checkpoint(Path(plan.checkpoint.path))
        try:
            model = plan.task.build(plan.recipe, checkpoint.assets)
        except (KeyError, TypeError):
            raise MMBenchError(
                f"{checkpoint.path} lacks what a {plan.task.name} model is built from"
            ) from None
        checkpoint.restore(model)
        return model.to(device), None
    assert plan.train is not None
    model = plan.task.build(plan.recipe, plan.task.assets(plan.train)).to(device)
    if not resume:
        shutil.rmtree(state, ignore_errors=True)
    done: list[Trained] = []
    for stage in model.stages():
        model.enter(stage)
        trained = _train_stage(plan, model, stage, device, batch, state, resume, watch)
        log = [{"stage": stage.name, **entry} for entry in trained.log] if stage.name else None
        done.append(replace(trained, log=log or trained.log))
    return model, replace(
        done[-1],
        seconds=sum(trained.seconds for trained in done),
        log=[entry for trained in done for entry in trained.log],
    )


def _train_stage(
    plan: Plan,
    model: TaskModel,
    stage: Stage,
    device: torch.device,
    batch: int,
    state: Path,
    resume: bool,
    watch: Watch,
) -> Trained:
    assert plan.train is not None
    settings = validate(
        Train, plan.recipe.train.model_dump(exclude_unset=True) | dict(stage.train), "train"
    )
    shared = None
    if stage.shared is not None:
        assert stage.part is not None
        shared = _SharedPart(plan, stage, settings)
        if (found := shared.read(model.get_submodule(stage.part))) is not None:
            return found
    assert plan.validation is not None
    model.prepare(plan.validation)  # now, so that it is not in the time of training
    if stage.name:
        watch.began(f"{plan.model} {stage.name}", plan.seed)
    trained = fit(
        model,
        plan.train,
        settings,
        _validation(plan, model, device, batch),
        seed=_SHARED_SEED if shared else plan.seed,
        device=device,
        folder=state / stage.name,
        resume=resume,
        watcher=watch,
    )
    if shared is not None:
        assert stage.part is not None
        shared.write(model.get_submodule(stage.part), trained)
    return trained


def _validation(plan: Plan, model: TaskModel, device: torch.device, batch: int) -> Any:
    """What gives the model's score on validation, higher is better."""
    assert plan.validation is not None
    validation = plan.validation
    metric = plan.metrics[0]
    targets = [sample.target for sample in validation]
    sign = 1.0 if metric.higher_is_better else -1.0

    def by_metric() -> float:
        answers = ModelPredictor(model, device, batch).predict(validation)
        return sign * metric.aggregate(metric.statistics(answers, targets))

    def by_loss() -> float:
        model.eval()
        model.prepare(validation)
        total = 0.0
        with torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(0)  # whatever the loss draws, it draws alike after every epoch
            for chosen in GroupBatches(validation, batch).epoch():
                loss = model.loss(move(model.collate(chosen), device))
                total += loss.item() * len(chosen)
        return -total / len(validation)

    return by_metric if plan.task.chosen_by == "metric" else by_loss


class _SharedPart:
    """A trained part in the cache, under a hash of all that decides its weights.

    Runs of a comparison then differ in nothing that comes before what is compared.
    """

    def __init__(self, plan: Plan, stage: Stage, settings: Train) -> None:
        assert plan.train is not None
        assert plan.validation is not None
        identity = {
            "stage": stage.name,
            "part": dict(stage.shared or {}),
            "train": settings.model_dump(mode="json"),
            "fitted_on": [plan.train.fingerprint, plan.validation.fingerprint],
            "torch": torch.__version__,
        }
        self.path = cache_folder() / "parts" / f"{digest(identity)[:24]}.safetensors"

    def read(self, part: torch.nn.Module) -> Trained | None:
        """Put the weights into the part; None if they are not there, or damaged."""
        try:
            content = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            discard(self.path, error.strerror or str(error))
            return None
        try:
            size = int.from_bytes(content[:8], "little")
            about = json.loads(content[8 : 8 + size])["__metadata__"]
            tensors = load(content)
            if about["check"] != _check(tensors, about["trained"]):
                raise ValueError
            trained = Trained(**json.loads(about["trained"]))
            part.load_state_dict(tensors)
        except (SafetensorError, LookupError, TypeError, ValueError, RecursionError, RuntimeError):
            discard(self.path, "it is not what was written")
            return None
        return trained

    def write(self, part: torch.nn.Module, trained: Trained) -> None:
        """Keep the weights, whole or not at all."""
        tensors: dict[str, Tensor] = {
            name: tensor.detach().cpu().contiguous() for name, tensor in part.state_dict().items()
        }
        about = json.dumps(vars(trained))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
                made = Path(folder) / "part"
                save_file(tensors, made, {"trained": about, "check": _check(tensors, about)})
                os.replace(made, self.path)
        except (OSError, SafetensorError) as error:  # the latter hides a full disk, too
            raise unwritable(self.path.parent, error) from None


def _check(tensors: Mapping[str, Tensor], about: str) -> str:
    """A hash of weights, and of what is said about them."""
    content = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        content.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        content.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()

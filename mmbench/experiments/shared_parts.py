"""What stages trained, kept for every run that would have trained it alike."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmbench.data.cache import cache_folder, discard, unwritable
from mmbench.data.sample import SampleSet
from mmbench.experiments.plan import Plan
from mmbench.model import TaskModel
from mmbench.recipe import Train, digest
from mmbench.stages import Stage
from mmbench.training import VERSION
from mmbench.training.loop import Trained
from mmbench.training.objectives.weighted import WeightedObjectives


class SharedPart:
    """What a stage trained, in the cache, under a hash of all that decides its weights.

    Runs of a comparison then differ in nothing that comes before what is compared.

    Args:
        decides: what the objectives say that decides it.
        model: with the weights that the stage begins from.
        samples: that the stage is trained on, and those that choose its epoch.
    Attributes:
        seed: of its training: the same for all that share it.
    """

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        settings: Train,
        decides: Mapping[str, Any],
        model: TaskModel,
        objectives: WeightedObjectives,
        samples: tuple[SampleSet, SampleSet],
        device: torch.device,
    ) -> None:
        train, validation = samples
        tensors = model.state_dict()
        reached = [name for name in tensors if objectives.reach(name)]
        self._names = stage.trained(reached)
        decided: dict[str, object] = {
            "trains": self._names,
            "objectives": dict(decides),
            "train": _settled(settings),
            "fitted_on": [train.fingerprint, validation.fingerprint],
            "begins_from": _check({name: tensors[name] for name in reached}, ""),
            "versions": [torch.__version__, VERSION, device.type, *_mode()],
        }
        if stage.data is not None and stage.data.share != 1:
            decided["share"] = stage.data.share
        if stage.data is not None and stage.data.noise:
            decided["noise"] = stage.data.noise
        self.seed = int(digest(decided)[:7], 16)
        if plan.identity.threads:  # the same training but for the last bits
            decided["threads"] = plan.identity.threads
        if plan.identity.compiled:  # so too
            decided["compiled"] = True
        identity = digest(decided)
        self.path = cache_folder() / "parts" / f"{identity[:24]}.safetensors"

    def read(self, model: TaskModel) -> Trained | None:
        """Put the weights into the model; None if they are not there, or damaged."""
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                # Copies, not views of a file that may be replaced.
                tensors = {name: file.get_tensor(name).clone() for name in self._names}
            if about["check"] != _check(tensors, about["trained"]):
                raise ValueError
            trained = Trained(**json.loads(about["trained"]))
            model.load_state_dict(model.state_dict() | tensors)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            discard(self.path, error.strerror or str(error))
            return None
        except (SafetensorError, LookupError, TypeError, ValueError, RecursionError, RuntimeError):
            discard(self.path, "it is not what was written")
            return None
        return trained

    def write(self, model: TaskModel, trained: Trained) -> None:
        """Keep the weights, whole or not at all."""
        tensors = model.state_dict()
        kept = {name: tensors[name].detach().cpu().contiguous() for name in self._names}
        about = json.dumps(vars(trained))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
                made = Path(folder) / "part"
                save_file(kept, made, {"trained": about, "check": _check(kept, about)})
                os.replace(made, self.path)
        except (OSError, SafetensorError) as error:  # the latter hides a full disk, too
            raise unwritable(self.path.parent, error) from None


# Settings that there were when parts were first kept.
_FIRST = {
    *("epochs", "batch", "neighbours", "neighbours_by", "neighbours_from", "lr", "weight_decay"),
    *("schedule", "warmup", "clip", "label_smoothing", "dropout", "modality_dropout"),
}


def _settled(settings: Train) -> dict[str, Any]:
    """The settings of a training, less those added since parts were first kept, at their default.

    The seed is drawn from them, so that a new one must leave what was trained before as it is.
    """
    later = {k: value for k, value in settings.changed().items() if k not in _FIRST}
    return settings.model_dump(mode="json", include=_FIRST) | later


def _mode() -> list[str]:
    """What of torch's settings decides the bytes of a part: nothing by default."""
    return ["deterministic"] if torch.are_deterministic_algorithms_enabled() else []


def _check(tensors: Mapping[str, Tensor], about: str) -> str:
    """A hash of weights, and of what is said about them."""
    content = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        content.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        content.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()

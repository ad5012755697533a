"""Linear probes: what an encoder's features know, beside random features and what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmbench import registry
from mmbench.checkpoint import read_checkpoint
from mmbench.computing import computing_on, exact_float32
from mmbench.data.dataset import DatasetSpec, tasks_of
from mmbench.data.splits import load_split, reader_of
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.plan import shipped_weights
from mmbench.experiments.probed_features import (
    Features,
    encoder_features,
    forgetful,
    raw_features,
)
from mmbench.recipe import MODALITIES, Recipe
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.measured import Measured, measure
from mmbench.task import Task
from mmbench.training.device import choose_device
from mmbench.training.linear_probe import fit_probe
from mmbench.training.objectives.base import encoders_of
from mmbench.yaml_file import validate

if TYPE_CHECKING:
    from mmbench.zoo.encoders.base import Encoder

_MOST_CLASSES = 1000
ENCODER, RANDOM, RAW = "encoder", "random", "raw"


@dataclass(frozen=True)
class Probed:
    """How well a linear probe of some features does.

    Attributes:
        features: whose: "encoder", "random" or "raw".
        about: what these are.
        width: how many features there are.
        penalty: that was chosen on validation.
        accuracy: on the split that is scored; with its 95% interval over groups.
    """

    features: str
    about: str
    width: int
    penalty: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """How much more the encoder's features know than others: a difference of accuracies.

    Attributes:
        over: than which.
        difference: with its 95% interval over groups, paired.
        p_value: two-sided.
    """

    over: str
    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class ProbeResult:
    """A linear probe of an encoder.

    Attributes:
        encoder: as it was named.
        weights: SHA-256 of its file.
        dataset, split, target, modality: what was asked.
        classes: the values of the target that training has.
        samples: by split, how many samples have the target.
        majority: accuracy of the class that is most frequent in training.
        probes: of the encoder's features, random ones and raw ones.
        gains: of the encoder's over the others.
    """

    encoder: str
    weights: str
    dataset: str
    split: str
    target: str
    modality: str
    classes: list[str]
    samples: dict[str, int]
    majority: float
    seed: int
    probes: list[Probed] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Labelled:
    """What of a split has the target.

    Attributes:
        values: of the modality, as an encoder reads them.
        labels: of the target.
        groups: of the samples.
    """

    values: Sequence[Any]
    labels: Sequence[str]
    groups: Sequence[str]


def probe(
    encoder: str,
    dataset: str,
    target: str,
    *,
    modality: str = "image",
    task: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    seed: int = 0,
) -> ProbeResult:
    """Fit linear classifiers of an attribute on frozen features, and score them.

    Three probes are fitted on the same samples and scored on the same: of the encoder's features,
    pooled; of those of the same network with random weights; and of what the encoder reads (images
    of at most 32 pixels a side, counts of words, samples of a sound).

    Args:
        encoder: a checkpoint of mmbench (`weights.safetensors`), or a recipe with shipped weights.
        dataset: registered, or the path of its YAML file.
        target: an attribute of its samples: a column of its table, or what its reader knows.
        modality: whose encoder is probed.
        task: of a recipe, whose weights are meant; the first that has some if None.
        split: that is scored; the dataset's `evaluate_on` if None.
        data_dir, skip_bad, device: as of a run.
        seed: of the random weights.
    Raises: MMBenchError for what does not exist or cannot be probed.
    """
    if modality not in MODALITIES:
        raise MMBenchError(
            f"no modality '{modality}'.{did_you_mean(modality, MODALITIES)} There is "
            f"{', '.join(MODALITIES)}."
        )
    where = choose_device(device)
    checkpoint = _checkpoint(encoder, task, dataset)
    weights = read_checkpoint(checkpoint)
    whose: Task = registry.load("tasks", str(weights.about.get("task")))()
    known = {key: weights.recipe[key] for key in Recipe.model_fields if key in weights.recipe}
    recipe = validate(Recipe, known, str(checkpoint))
    spec = _dataset(dataset, whose, data_dir, skip_bad)
    split = split or spec.evaluate_on
    if split == "train":
        raise MMBenchError("a probe is fitted on the split train: score it on another one")
    parts = {name: labelled(spec, name, target, modality) for name in ("train", "validation")}
    parts[split] = labelled(spec, split, target, modality)
    classes = _classes(parts["train"].labels, target)

    with computing_on(str(where)), exact_float32():
        torch.manual_seed(seed)
        model = whose.build(recipe, weights.assets)
        random = forgetful(_encoder(model, modality, encoder))
        weights.restore(model)
        trained = _encoder(model, modality, encoder)
        made = {
            ENCODER: encoder_features(trained, parts, where),
            RANDOM: encoder_features(random, parts, where),
            RAW: raw_features(modality, parts),
        }
        found = {name: _probed(features, parts, classes, split) for name, features in made.items()}
    measures = {name: measured for name, (_, measured) in found.items()}
    most = max(classes, key=list(parts["train"].labels).count)
    result = ProbeResult(
        encoder=encoder,
        weights=weights.sha256,
        dataset=spec.name,
        split=split,
        target=target,
        modality=modality,
        classes=classes,
        samples={name: len(part.labels) for name, part in parts.items()},
        majority=float(np.mean([label == most for label in parts[split].labels])),
        seed=seed,
    )
    for name, (penalty, measured) in found.items():
        known_to = estimate(measured)
        assert known_to.interval is not None
        ends = known_to.interval.low, known_to.interval.high
        about, width = made[name].about, made[name].width
        result.probes.append(Probed(name, about, width, penalty, known_to.mean, *ends))
    for name in (RANDOM, RAW):
        gain = difference(measures[ENCODER], measures[name])
        ends = gain.interval.low, gain.interval.high
        result.gains.append(Gain(name, gain.difference, *ends, gain.p_value))
    return result


def labelled(spec: DatasetSpec, split: str, target: str, modality: str) -> Labelled:
    """What of a split has a target and a modality.

    Raises: MMBenchError if nothing has, or the split does not exist.
    """
    kind = "captions"
    if spec.layout is not None and split in spec.splits:
        reader = reader_of(spec, spec.splits[split].of or split)
        kind = "captions" if "captions" in reader.kinds else reader.kinds[0]
        if "attributes" in type(reader).model_fields:  # told only to those who ask
            layout = spec.layout.model_copy(update={"attributes": True})
            spec = spec.model_copy(update={"layout": layout})
    elif spec.hub is not None and "captions" not in spec.hub.columns:
        kind = "questions"
    data = load_split(spec, split, kind)  # type: ignore[arg-type]
    rows = data.rows.to_list()
    if target not in rows[0]:
        others = [name for name in rows[0] if not name.endswith("_row") and name != "row"]
        raise MMBenchError(
            f"{spec.name} knows no attribute '{target}' of its samples."
            f"{did_you_mean(target, others)} It knows {', '.join(others)}."
        )
    chosen = [row for row in rows if row[target] is not None]
    if odd := next((row[target] for row in chosen if not isinstance(row[target], str | int)), None):
        raise MMBenchError(f"{target} of {spec.name} is no class, but {type(odd).__name__}")
    if not chosen:
        raise MMBenchError(f"no sample of {spec.name}, split {split}, has a {target}")
    if modality != "text" and modality not in data.media:
        raise MMBenchError(
            f"{spec.name} has no {modality}: it has {', '.join([*data.media, 'text'])}. "
            "Name one of them as --modality"
        )
    texts = [row.get("text") or (row.get("captions") or [""])[0] for row in chosen]
    media = [data.inputs(row) for row in chosen]
    if modality != "text" and any(isinstance(found[modality], tuple) for found in media):
        raise MMBenchError(f"a probe reads one {modality} a sample, and {spec.name} has several")
    return Labelled(
        values=texts if modality == "text" else [found[modality] for found in media],
        labels=[str(row[target]) for row in chosen],
        groups=[str(row["group"]) for row in chosen],
    )


def _classes(labels: Sequence[str], target: str) -> list[str]:
    classes = sorted(set(labels))
    if not 2 <= len(classes) <= min(_MOST_CLASSES, len(labels) // 2):
        raise MMBenchError(
            f"a probe tells classes apart, and {target} has {len(classes):,} different values in "
            f"{len(labels):,} samples"
        )
    return classes


def _probed(
    features: Features, parts: Mapping[str, Labelled], classes: Sequence[str], split: str
) -> tuple[float, Measured]:
    """The penalty that was chosen, and how well the probe does on the split."""
    number = {label: place for place, label in enumerate(classes)}
    x = features.by_split
    y = {
        name: torch.tensor([number.get(label, -1) for label in part.labels])
        for name, part in parts.items()
    }
    fitted = fit_probe(x["train"], y["train"], (x["validation"], y["validation"]), len(classes))
    given = [classes[place] for place in fitted.classes(x[split]).tolist()]
    metric = registry.load("metrics", "accuracy")()
    statistics = metric.statistics(given, list(parts[split].labels))
    _, groups = np.unique(np.asarray(parts[split].groups), return_inverse=True)
    return fitted.penalty, measure(features.about, metric, {0: statistics}, groups)


def _encoder(model: Any, modality: str, name: str) -> Encoder:
    encoders = encoders_of(model)
    if modality not in encoders:
        raise MMBenchError(
            f"{name} has no encoder for {modality}: it has {', '.join(encoders) or 'none'}. Name "
            "one of them as --modality"
        )
    return encoders[modality]


def _checkpoint(encoder: str, task: str | None, dataset: str) -> Path:
    """The file of weights that a name stands for."""
    if not registry.has("recipes", encoder):
        if encoder.endswith((".yaml", ".yml")) or not Path(encoder).exists():
            known = registry.names("recipes")
            raise MMBenchError(
                f"--encoder names a checkpoint (weights.safetensors) or a recipe with shipped "
                f"weights, and {encoder} is neither.{did_you_mean(encoder, known)} Train a recipe "
                "with `mmbench run --train` and name the weights.safetensors of its record"
            )
        path = Path(encoder)
        return path / "weights.safetensors" if path.is_dir() else path
    tasks = [task] if task else registry.names("tasks")
    sets = dict.fromkeys([Path(dataset).stem, *registry.names("datasets")])
    for place in ((t, d) for t in tasks for d in sets):
        if (path := shipped_weights(*place, encoder)).exists():
            return path
    raise MMBenchError(
        f"{encoder} has no shipped weights{f' for {task}' if task else ''}: train it with `mmbench "
        "run --train` and name the weights.safetensors of its record as --encoder"
    )


def _dataset(name: str, task: Task, data_dir: str | Path | None, skip_bad: bool) -> DatasetSpec:
    """The dataset, as the encoder's task sees it if it is for that, else as its first one does."""
    known = tasks_of(name)
    whose = task if task.name in known else registry.load("tasks", known[0])()
    spec: DatasetSpec = whose.dataset(name, data_dir, skip_bad)
    for split in ("train", "validation"):
        if split not in spec.splits:
            raise MMBenchError(
                f"a probe is fitted on the split train and chosen on validation, and {spec.name} "
                f"has {', '.join(spec.splits)}"
            )
    return spec

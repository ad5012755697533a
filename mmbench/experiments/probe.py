"""Linear probes: what an encoder's features know, beside random features and what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from mmbench.computing import computing_on, exact_float32
from mmbench.errors import MMBenchError
from mmbench.experiments.kept_probe import keep_probe, right_digits
from mmbench.experiments.labelled import (
    Labelled,
    LabelledResult,
    accuracy,
    labelled,
    labelled_dataset,
)
from mmbench.experiments.probed_features import (
    Features,
    encoder_features,
    forgetful,
    raw_features,
)
from mmbench.experiments.probed_model import check_modality, find_probed
from mmbench.records.probe_record import GainEntry, ProbeEntry
from mmbench.records.store import check_writable
from mmbench.statistics.comparison import difference, estimate
from mmbench.statistics.measured import Measured
from mmbench.training.device import choose_device
from mmbench.training.linear_probe import fit_probe

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


@dataclass(frozen=True, kw_only=True)
class ProbeResult(LabelledResult):
    """A linear probe of an encoder.

    Attributes:
        encoder, weights, dataset, split, target, modality, path: as of `LabelledResult`.
        classes: the values of the target that training has.
        majority: accuracy of the class that is most frequent in training.
        samples: by split, how many samples have the target.
        seed: of the random weights.
        probes: of the encoder's features, random ones and raw ones.
        gains: of the encoder's over the others.
    """

    samples: dict[str, int]
    seed: int
    probes: list[Probed] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)


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
    out: str | Path | None = "results",
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
        out: the folder that a record is left in, as a run leaves one; None leaves none.
    Raises: MMBenchError for what does not exist or cannot be probed.
    """
    check_modality(modality)
    if out is not None:
        check_writable(Path(out))
    where = choose_device(device)
    found = find_probed(encoder, task, dataset)
    spec = labelled_dataset(dataset, found.task, data_dir, skip_bad)
    for name in ("train", "validation"):
        if name not in spec.splits:
            raise MMBenchError(
                f"a probe is fitted on the split train and chosen on validation, and {spec.name} "
                f"has {', '.join(spec.splits)}"
            )
    split = split or spec.evaluate_on
    if split == "train":
        raise MMBenchError("a probe is fitted on the split train: score it on another one")
    parts = {name: labelled(spec, name, target, modality) for name in ("train", "validation")}
    parts[split] = labelled(spec, split, target, modality)
    classes = _classes(parts["train"].labels, target)

    with computing_on(str(where)), exact_float32():
        torch.manual_seed(seed)
        model = found.build()
        random = forgetful(found.encoder(model, modality))
        found.restore(model)
        trained = found.encoder(model, modality)
        made = {
            ENCODER: encoder_features(trained, parts, where),
            RANDOM: encoder_features(random, parts, where),
            RAW: raw_features(modality, parts),
        }
        done = {name: _probed(features, parts, classes, split) for name, features in made.items()}
    measures = {name: told.measured for name, told in done.items()}
    most = max(classes, key=list(parts["train"].labels).count)
    result = ProbeResult(
        encoder=encoder,
        weights=found.weights.sha256,
        dataset=spec.name,
        split=split,
        target=target,
        modality=modality,
        classes=classes,
        samples={name: len(part.labels) for name, part in parts.items()},
        majority=float(np.mean([label == most for label in parts[split].labels])),
        seed=seed,
    )
    for name, told in done.items():
        known_to = estimate(told.measured)
        assert known_to.interval is not None
        ends = known_to.interval.low, known_to.interval.high
        about, width = made[name].about, made[name].width
        result.probes.append(Probed(name, about, width, told.penalty, known_to.mean, *ends))
    for name in (RANDOM, RAW):
        gain = difference(measures[ENCODER], measures[name])
        ends = gain.interval.low, gain.interval.high
        result.gains.append(Gain(name, gain.difference, *ends, gain.p_value))
    if out is None:
        return result
    folder = keep_probe(
        *(out, "linear", result, found, parts, where),
        [ProbeEntry(**asdict(p), right=done[p.features].right) for p in result.probes],
        [GainEntry(**asdict(gain)) for gain in result.gains],
        seed=seed,
    )
    return replace(result, path=str(folder))


def _classes(labels: Sequence[str], target: str) -> list[str]:
    classes = sorted(set(labels))
    if not 2 <= len(classes) <= min(_MOST_CLASSES, len(labels) // 2):
        raise MMBenchError(
            f"a probe tells classes apart, and {target} has {len(classes):,} different values in "
            f"{len(labels):,} samples"
        )
    return classes


@dataclass(frozen=True)
class _Told:
    """A probe's penalty, how well it does on the split, and on which of its samples."""

    penalty: float
    measured: Measured
    right: str


def _probed(
    features: Features, parts: Mapping[str, Labelled], classes: Sequence[str], split: str
) -> _Told:
    number = {label: place for place, label in enumerate(classes)}
    x = features.by_split
    y = {
        name: torch.tensor([number.get(label, -1) for label in part.labels])
        for name, part in parts.items()
    }
    fitted = fit_probe(x["train"], y["train"], (x["validation"], y["validation"]), len(classes))
    given = [classes[place] for place in fitted.classes(x[split]).tolist()]
    asked = parts[split]
    measured = accuracy(given, asked, features.about)
    return _Told(fitted.penalty, measured, right_digits(given, asked.labels))

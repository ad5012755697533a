"""Zero-shot classification: an image belongs to the class whose name, in a prompt, lies nearest.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision
(CLIP), 2021 (arXiv 2103.00020), sec. 3.1.2 and, of several prompts, 3.1.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mmbench.compose import ComposedModel
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
from mmbench.experiments.probed_model import ProbedCheckpoint, check_modality, find_probed
from mmbench.model import TaskModel, move
from mmbench.records.probe_record import ProbeEntry
from mmbench.records.store import check_writable
from mmbench.statistics.comparison import estimate
from mmbench.training.device import choose_device
from mmbench.training.objectives.base import encoders_of
from mmbench.training.objectives.pairs import composed, own_projections
from mmbench.zoo.encoders.base import Encoder, TextEncoder

NAMES = "names"  # whose "features" they are in a record
NAME = "{}"  # where a prompt has the name of a class
_CHOICES = re.compile(r"\[([^\[\]]*)\]")
_AT_ONCE = 128
_SHOWN = 5  # words that are not known


@dataclass(frozen=True, kw_only=True)
class ZeroShotResult(LabelledResult):
    """How well a model that was trained on pairs with texts tells classes by their names.

    Attributes:
        encoder, weights, dataset, split, target, modality, path: as of `LabelledResult`.
        classes: the names.
        majority: accuracy of the class that is most frequent among the samples.
        prompts: as they were given.
        texts: of each class, how many the prompts make.
        samples: how many have the target.
        accuracy: with its 95% interval over groups.
        by_class: accuracy on the samples of each class that has any.
        unknown: words of the prompts that the text encoder has no vector of.
    """

    prompts: list[str]
    texts: int
    samples: int
    accuracy: float
    low: float
    high: float
    by_class: dict[str, float]
    unknown: list[str]


def zero_shot(
    encoder: str,
    dataset: str,
    target: str,
    prompts: str | Sequence[str],
    *,
    modality: str = "image",
    task: str | None = None,
    split: str | None = None,
    data_dir: str | Path | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    out: str | Path | None = "results",
) -> ZeroShotResult:
    """Classify samples by the names of classes in prompts, without any training.

    A class is the mean of the text vectors, each of length 1, of its name in every prompt; a sample
    gets the class whose vector has the highest cosine with its own. Nothing is fitted or chosen.

    Args:
        encoder: a checkpoint of mmbench (`weights.safetensors`) that projects texts and the
            modality into one space, or a recipe with shipped weights.
        dataset: registered, or the path of its YAML file.
        target: an attribute of its samples, whose values are words: see `mmbench.probe`.
        prompts: one or several, such as "a {} object", with `{}` where the name goes; one with
            choices, "a [small|large] {}", stands for all of them.
        modality: what is classified.
        task: of a recipe, whose weights are meant; the first that has some if None.
        split: that is scored; the dataset's `evaluate_on` if None.
        data_dir, skip_bad, device: as of a run.
        out: the folder that a record is left in, as a run leaves one; None leaves none.
    Raises: MMBenchError for what does not exist, a prompt without a place for the name, names that
        the text encoder does not know, or a model that compares no texts with the modality.
    """
    check_modality(modality)
    if modality == "text":
        raise MMBenchError(
            "zero-shot classification compares texts with a medium: name image, video or audio as "
            "--modality"
        )
    given_prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    asked = _checked(given_prompts)
    if out is not None:
        check_writable(Path(out))
    where = choose_device(device)
    found = find_probed(encoder, task, dataset)
    spec = labelled_dataset(dataset, found.task, data_dir, skip_bad)
    split = split or spec.evaluate_on
    given = labelled(spec, split, target, modality)
    seen = labelled(spec, "train", target, modality).labels if "train" in spec.splits else ()
    classes = sorted({*given.labels, *seen})
    with computing_on(str(where)), exact_float32():
        model = found.build()
        _check_compares(found, model, modality)
        found.restore(model)
        model = model.to(where).eval()
        text = found.encoder(model, "text")
        _check_names(text, classes, target)
        centres = class_vectors(composed(model), asked, classes, where)
        vectors = embedded(composed(model), modality, given.values, where)
        answers = [classes[place] for place in (vectors @ centres.T).argmax(1).tolist()]
    result = _result(
        given,
        answers,
        encoder=encoder,
        weights=found.weights.sha256,
        dataset=spec.name,
        split=split,
        target=target,
        modality=modality,
        prompts=given_prompts,
        texts=len(asked),
        classes=classes,
        unknown=_unknown(text, [word for p in asked for word in p.replace(NAME, " ").split()]),
    )
    if out is None:
        return result
    entry = ProbeEntry(
        features=NAMES,
        about=f"nearest of {len(classes)} names",
        accuracy=result.accuracy,
        low=result.low,
        high=result.high,
        right=right_digits(answers, given.labels),
    )
    folder = keep_probe(
        *(out, "zero_shot", result, found, {split: given}, where, [entry]), prompts=given_prompts
    )
    return replace(result, path=str(folder))


def class_vectors(
    model: ComposedModel, prompts: Sequence[str], classes: Sequence[str], device: torch.device
) -> Tensor:
    """For each class the mean of its prompts' vectors, of length 1 before and after, (C, D)."""
    texts = [prompt.replace(NAME, name) for name in classes for prompt in prompts]
    vectors = embedded(model, "text", texts, device).view(len(classes), len(prompts), -1)
    return functional.normalize(vectors.mean(1), dim=-1)


def embedded(
    model: ComposedModel, modality: str, values: Sequence[Any], device: torch.device
) -> Tensor:
    """Vectors (N, D) of length 1 in the space that the model projects into, float32, on the CPU.

    Args:
        model: on the device, in evaluation mode, with projections of its own.
        values: media or texts.
    """
    project, encoder = own_projections(model)[modality], model.encoder(modality)
    model.remember(modality, values)
    rows = []
    with torch.inference_mode():
        for start in range(0, len(values), _AT_ONCE):
            batch = move(model.read(modality, values[start : start + _AT_ONCE]), device)
            pooled = encoder.pool(model.stream(modality, batch))
            rows.append(functional.normalize(project(pooled).float(), dim=-1).cpu())
    return torch.cat(rows)


def _result(given: Labelled, answers: list[str], **about: Any) -> ZeroShotResult:
    labels = list(given.labels)
    known = estimate(accuracy(answers, given, "zero-shot"))
    assert known.interval is not None
    right = {
        name: [a == name for a, b in zip(answers, labels, strict=True) if b == name]
        for name in about["classes"]
    }
    return ZeroShotResult(
        samples=len(labels),
        accuracy=known.mean,
        low=known.interval.low,
        high=known.interval.high,
        majority=max(map(labels.count, labels)) / len(labels),
        by_class={name: sum(told) / len(told) for name, told in right.items() if told},
        **about,
    )


def expanded(prompt: str) -> list[str]:
    """All prompts that one with choices stands for.

    Raises: MMBenchError for a bracket without its other one.

    >>> expanded("a [small|large] {}")
    ['a small {}', 'a large {}']
    """
    fixed = _CHOICES.split(prompt)  # every other one is the inside of brackets
    if any("[" in part or "]" in part for part in fixed[::2]):
        raise MMBenchError(
            f"the prompt '{prompt}' has a bracket without its other one: choices stand in "
            "brackets, as in 'a [small|large] {}'"
        )
    parts = [part.split("|") if place % 2 else [part] for place, part in enumerate(fixed)]
    return ["".join(chosen) for chosen in product(*parts)]


def _checked(prompts: list[str]) -> list[str]:
    """All that prompts stand for, each once."""
    if not prompts:
        raise MMBenchError("zero-shot classification needs a prompt, such as 'a {} object'")
    found = [text for prompt in prompts for text in expanded(prompt)]
    for prompt in found:
        if prompt.count(NAME) != 1:
            raise MMBenchError(
                f"the prompt '{prompt}' must have {NAME} once, where the name of a class goes, as "
                "in 'a {} object'"
            )
    return list(dict.fromkeys(found))


def _check_compares(found: ProbedCheckpoint, model: TaskModel, modality: str) -> None:
    """Raise unless the model projects texts and the modality into one space."""
    has = encoders_of(model)
    if "text" not in has:
        raise MMBenchError(
            f"{found.name} has no text encoder, which zero-shot classification reads prompts by: "
            f"it has {', '.join(has) or 'none'}. Name a checkpoint of retrieval, such as clip's"
        )
    found.encoder(model, modality)
    if not {"text", modality} <= set(own_projections(model)):
        raise MMBenchError(
            f"{found.name} does not project text and {modality} into one space, in which zero-shot "
            "classification compares them. Name a checkpoint of retrieval, such as clip's"
        )


def _check_names(text: Encoder, classes: Sequence[str], target: str) -> None:
    """Raise if a class's name holds no word that the text encoder knows."""
    without = [name for name in classes if set(name.split()) <= set(_unknown(text, name.split()))]
    if without:
        raise MMBenchError(
            f"zero-shot classification goes by names, and the texts that this model was trained on "
            f"have no word for {', '.join(without[:_SHOWN])} of {target}: name a target whose "
            "values are words of them"
        )


def _unknown(text: Encoder, words: Sequence[str]) -> list[str]:
    """Of words, those that an encoder has no vector of; none where it does not say."""
    if not isinstance(text, TextEncoder):
        return []
    known = set(text.word_numbers)

    def is_known(word: str) -> bool:
        numbers, _ = text.read([word])
        return not known.isdisjoint(numbers.flatten().tolist())

    return [word for word in dict.fromkeys(words) if not is_known(word)]

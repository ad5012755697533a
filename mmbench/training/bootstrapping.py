"""Captions bootstrapped (CapFilt): a model writes some, and of all of them keeps what it matches.

Source: Li et al., BLIP, 2022 (arXiv 2201.12086), sec. 3.3 and fig. 3: of each image one caption is
written by nucleus sampling; given and written ones are dropped where the head of the matching finds
that they do not belong to their image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch

from mmbench.compose import ComposedModel
from mmbench.computing import exact_float32
from mmbench.data.caption_noise import check_captions
from mmbench.data.sample import Sample, SampleSet
from mmbench.errors import MMBenchError
from mmbench.model import Batch, TaskModel, move
from mmbench.recipe import digest
from mmbench.stages import TASK, Stage
from mmbench.training.objectives.itm import matched, own_head
from mmbench.training.objectives.pairs import composed

BOOTSTRAPPED = "bootstrapped"
_MATCHES = "itm"
_AT_ONCE = 64  # samples whose captions are written and judged at a time


@dataclass(frozen=True)
class Kept:
    """How many captions were looked at, and kept.

    Attributes:
        given, given_kept: of those that the data have.
        wrong, wrong_kept: of these, the ones that noise put to another sample than theirs.
        written, written_kept: of those that the model wrote.
    """

    given: int = 0
    given_kept: int = 0
    wrong: int = 0
    wrong_kept: int = 0
    written: int = 0
    written_kept: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def words(self) -> str:
        """In a line; where some are wrong on purpose, with how well these were found.

        >>> Kept(100, 70, 30, 3, 20, 15).words.partition(";")[0]
        'kept 70 of 100 given captions and 15 of 20 that the model wrote'
        """
        line = (
            f"kept {self.given_kept:,} of {self.given:,} given captions and "
            f"{self.written_kept:,} of {self.written:,} that the model wrote"
        )
        if not self.wrong:
            return line
        found = self.wrong - self.wrong_kept
        dropped = _percent(found, self.given - self.given_kept)
        right = _percent(self.given_kept - self.wrong_kept, self.given_kept)
        before = _percent(self.given - self.wrong, self.given)
        return (
            f"{line}; {found:,} of {self.wrong:,} wrong ones dropped "
            f"({_percent(found, self.wrong)}), {dropped} of what was dropped wrong, {right} of "
            f"what was kept right, where {before} was before"
        )


def _percent(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}%" if of else "none"


def check_bootstrapping(
    stage: Stage, earlier: Sequence[Stage], model: TaskModel, samples: Sequence[Sample] | None
) -> None:
    """Raise MMBenchError if a stage's captions cannot be bootstrapped by what comes before it."""
    if type(model).drawn is TaskModel.drawn:
        raise MMBenchError(
            f"the stage {stage.name} learns from captions that the model writes, and this model "
            "writes none: data.captions: bootstrapped is for the task captioning"
        )
    trained = {name for before in earlier for name in before.objective}
    if missing := [name for name in (TASK, _MATCHES) if name not in trained]:
        raise MMBenchError(
            f"the stage {stage.name} learns from captions that the model writes and judges, and no "
            f"stage before it trains {' and '.join(missing)}: put one with "
            f"objective: [{TASK}, {_MATCHES}] before it"
        )
    if samples is not None:
        check_captions(samples, f"the stage {stage.name} keeps captions that match")


def bootstrapped(
    model: TaskModel, samples: SampleSet, right: Sequence[Sample], device: torch.device
) -> tuple[SampleSet, Kept]:
    """Samples with those captions, given or written, that the model finds to match.

    The same weights give the same captions. Samples that keep none are left out.

    Args:
        model: on the device; it writes, and has a head that matches.
        samples: with the captions that are given.
        right: the same samples with their own captions, in the same order.
        device: where the model is.
    Raises: MMBenchError if no caption is kept.
    """
    model.eval()
    model.prepare(samples.queries)
    kept, made = Kept(), []
    with torch.inference_mode(), exact_float32():
        for start in range(0, len(samples), _AT_ONCE):
            some = samples[start : start + _AT_ONCE]
            written = model.drawn(move(model.collate([s.query for s in some]), device))
            texts = [[*s.target, text] for s, text in zip(some, written, strict=True)]
            matches = _matches(composed(model), some, texts, device)
            for sample, own, told in zip(some, right[start:], texts, strict=False):
                found = [next(matches) for _ in told]
                kept += _counted(set(own.target), told, found)
                captions = dict.fromkeys(t for t, fits in zip(told, found, strict=True) if fits)
                if captions:
                    made.append(replace(sample, target=list(captions)))
    if not made:
        raise MMBenchError(
            f"no caption is left to learn from: {kept.words}. Train the stages before for longer"
        )
    content = digest({"of": samples.fingerprint, "captions": [[s.id, s.target] for s in made]})
    return replace(samples, samples=made, fingerprint=content[:16]), kept


def _matches(
    model: ComposedModel,
    samples: Sequence[Sample],
    texts: Sequence[Sequence[str]],
    device: torch.device,
) -> Iterator[bool]:
    """Of each text of each sample, whether it is more likely to match than not."""
    modality = model.fused_contexts[0]
    head = own_head(model)
    assert head is not None  # `check_bootstrapping`: a stage before has trained it
    flat = [text for told in texts for text in told]
    of = [row for row, told in enumerate(texts) for _ in told]
    batch: Batch = model.read("text", flat)
    batch |= model.read(modality, [sample.inputs[modality] for sample in samples])
    batch = move(batch, device)
    medium = model.stream(modality, batch).take(torch.tensor(of, device=device))
    logits = matched(model, head, model.stream("text", batch), medium, modality)
    there = [bool(text.strip()) for text in flat]  # nothing matches that says nothing
    fits = (logits[:, 1] > logits[:, 0]).tolist()
    return iter([fit and says for fit, says in zip(fits, there, strict=True)])


def _counted(own: set[str], told: Sequence[str], fits: Sequence[bool]) -> Kept:
    """What of a sample's captions, the written one last, was kept."""
    *given, _ = zip(told, fits, strict=True)
    wrong = [fit for text, fit in given if text not in own]
    return Kept(
        given=len(given),
        given_kept=sum(fit for _, fit in given),
        wrong=len(wrong),
        wrong_kept=sum(wrong),
        written=1,
        written_kept=int(fits[-1]),
    )

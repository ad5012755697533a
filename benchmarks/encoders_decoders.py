"""Every encoder and decoder, trained on a task, beside what is reached without it.

    python benchmarks/encoders_decoders.py [PART ...] [--out results] [--seed 0]

Each is all that differs from a recipe of mmbench's, on a dataset where that takes little time:
sizes and epochs are such that none trains for longer than some minutes of a core, and tuned for
none. Records that there are, in `--out` or among the reference records, are not made again. A part
must be beyond its reference: the lower end of its 95% interval above the upper end of the other's.
Exit code 1 says that one is not.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmbench
from mmbench.experiments.plan import make_plan
from mmbench.experiments.result import RunResult
from mmbench.records.record import MetricEntry
from mmbench.request import run_request

REFERENCE_RECORDS = Path(__file__).parents[1] / "results" / "reference"


@dataclass(frozen=True)
class Trial:
    """A training: a recipe on a dataset, with changes.

    Attributes:
        words: what it is to a reader, where it is a reference.
    """

    task: str
    dataset: str
    model: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""


@dataclass(frozen=True)
class Chance:
    """A score that takes no training: its value, on the scale of the table."""

    value: float
    words: str


SOUND = {"rate": 4_000, "mels": 32, "frame": 128}  # of a dataset with 4,000 samples a second
SMALL = {
    "size": 64,
    "patch": 16,
    "layers": 2,
}  # of images of 64 pixels, as easy-VQA's

PICTURES = Trial("vqa", "interactions", "question_and_image")
SOUNDS = Trial("vqa", "interactions", "question_and_audio")
ASKED = Trial("vqa", "interactions", "question_only", words="the question alone")
QUESTIONS = Trial("vqa", "easy_vqa", "gated_fusion")
SEEN = Trial("vqa", "easy_vqa", "image_only", words="the image alone")
ASKED_EASY = Trial("vqa", "easy_vqa", "question_only", words="the question alone")
CLIPS = Trial("retrieval", "scenes_video", "gated_fusion")
GUESSED = Chance(0.1, "one of 1,000 clips at random")
CAPTIONS = Trial("captioning", "scenes", "gated_fusion")
BLIND = Trial(
    "captioning",
    "scenes",
    "gated_fusion",
    {"fusion": None, "encoders.image": None, "train.epochs": 2},
    words="a language model without the picture",
)
PROMPTS = Trial("generation", "scenes", "gated_fusion")
OTHERS = Chance(37.6, "real pictures of other prompts")


def part(base: Trial, key: str, /, epochs: int | None = None, **options: Any) -> Trial:
    """A recipe with another part at `key`, and other epochs."""
    overrides = {**base.overrides, **({key: options} if options else {})}
    if epochs is not None:
        overrides["train.epochs"] = epochs
    return Trial(base.task, base.dataset, base.model, overrides)


TRIALS: dict[str, tuple[Trial, Trial | Chance]] = {
    "image conv": (PICTURES, ASKED),
    "image resnet": (part(PICTURES, "encoders.image", name="resnet"), ASKED),
    "image vit": (part(QUESTIONS, "encoders.image", 6, name="vit", **SMALL), ASKED_EASY),
    "image clip_vision": (
        part(QUESTIONS, "encoders.image", 6, name="clip_vision", **SMALL),
        ASKED_EASY,
    ),
    "image siglip_vision": (
        part(QUESTIONS, "encoders.image", 6, name="siglip_vision", **SMALL),
        ASKED_EASY,
    ),
    "image efficientnet_lite0": (
        part(QUESTIONS, "encoders.image", 3, name="efficientnet_lite0", size=96),
        ASKED_EASY,
    ),
    "text bag_of_words": (part(QUESTIONS, "encoders.text", 1, name="bag_of_words"), SEEN),
    "text gru": (QUESTIONS, SEEN),
    "text bert": (part(QUESTIONS, "encoders.text", 1, name="bert", layers=2), SEEN),
    "text gpt2": (part(QUESTIONS, "encoders.text", 1, name="gpt2", layers=2), SEEN),
    "text minilm": (part(QUESTIONS, "encoders.text", 1, name="minilm"), SEEN),
    "text clip_text": (part(QUESTIONS, "encoders.text", 1, name="clip_text", layers=2), SEEN),
    "video conv3d": (CLIPS, GUESSED),
    "video video_transformer": (
        part(CLIPS, "encoders.video", 2, name="video_transformer", layers=2, tubelet=4),
        GUESSED,
    ),
    "audio audio_transformer": (SOUNDS, ASKED),
    "audio audio_conv": (
        part(SOUNDS, "encoders.audio", name="audio_conv", hop=64, **SOUND),
        ASKED,
    ),
    "audio ast": (
        part(
            SOUNDS, "encoders.audio", name="ast", layers=2, patch=8, stride=8, frames=64, hop=32,
            **SOUND,
        ),
        ASKED,
    ),
    "decoder classifier": (QUESTIONS, ASKED_EASY),
    "decoder rnn": (CAPTIONS, BLIND),
    "decoder transformer": (part(CAPTIONS, "decoder", 2, name="transformer"), BLIND),
    "decoder gpt2": (part(CAPTIONS, "decoder", 1, name="gpt2"), BLIND),
    "decoder image_tokens": (PROMPTS, OTHERS),
    "decoder cnn": (Trial("generation", "scenes", "pixel_cnn"), OTHERS),
    "decoder flow": (part(PROMPTS, "decoder", 3, name="flow"), OTHERS),
}  # fmt: skip


def carried_out(trial: Trial, out: Path, seed: int) -> RunResult:
    """The run's result, of a reference record where there is one."""
    values = {
        "task": trial.task,
        "dataset": trial.dataset,
        "model": trial.model,
        "overrides": dict(trial.overrides),
        "train": True,
        "seed": seed,
    }
    known = run_request(**values, out=REFERENCE_RECORDS)
    there = make_plan(known).folder.exists()
    return mmbench.run(**values, out=REFERENCE_RECORDS if there else out)


def shown(entry: MetricEntry) -> str:
    value = f"{entry.scale * entry.value:.1f}"
    if entry.interval is None:
        return value
    ends = (entry.scale * entry.interval.low, entry.scale * entry.interval.high)
    return f"{value} [{ends[0]:.1f}, {ends[1]:.1f}]"


def row(name: str, out: Path, seed: int) -> tuple[str, bool]:
    """A line of the table, and whether the part is beyond its reference."""
    trial, reference = TRIALS[name]
    record = carried_out(trial, out, seed).record
    entry = record.primary
    low = entry.scale * (entry.interval.low if entry.interval else entry.value)
    if isinstance(reference, Chance):
        words, score, high = reference.words, f"{reference.value:.1f}", reference.value
    else:
        other = carried_out(reference, out, seed).record.primary
        words, score = reference.words, shown(other)
        high = other.scale * (other.interval.high if other.interval else other.value)
    assert record.training is not None
    kind, called = name.split()
    epochs = record.recipe["train"]["epochs"]
    cells = [
        f"`{called}`",
        kind,
        f"{trial.task}, `{trial.dataset}`, {epochs} epoch{'s' * (epochs > 1)}",
        f"{entry.name} {shown(entry)}",
        f"{words}: {score}",
        f"{sum(record.parameters.values()) / 1000:,.0f}k",
        f"{record.training.seconds:.0f} s",
    ]
    return f"| {' | '.join(cells)} |", low > high


def main(names: Sequence[str], out: Path, seed: int) -> int:
    columns = ["part", "kind", "trained on", "score", "without it", "parameters", "training"]
    print(f"| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |")
    below = []
    for name in names:
        line, beyond = row(name, out, seed)
        print(line, flush=True)
        if not beyond:
            below.append(name)
    if below:
        print(f"\nnot beyond what is reached without: {', '.join(below)}")
    return 1 if below else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="such as `vit`; all of them if none is named")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = [
        name
        for name in TRIALS
        if not asked.parts or name in asked.parts or name.split()[1] in asked.parts
    ]
    raise SystemExit(main(chosen, asked.out, asked.seed))

"""What captioning is: a sentence about an image (video, sound), judged by people's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.data.dataset import DatasetSpec
from mmbench.data.prediction_files import (
    COCO_RESULTS,
    PredictionFile,
    read_answers,
    read_prediction_file,
)
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.splits import load_split
from mmbench.data.words import Vocabulary
from mmbench.prompts import Prompt
from mmbench.stages import TASK
from mmbench.task import Task

if TYPE_CHECKING:
    from mmbench.recipe import Recipe
    from mmbench_tasks.captioning.model import CaptioningModel

_ROOM = 4  # words that a caption may be longer than those of training


class Captioning(Task):
    """Captioning: describe an image in a sentence.

    A sample is an image; its target is the list of its captions.
    """

    name = "captioning"
    title = "Captioning"
    paper_metrics = ("cider", "bleu_4", "meteor", "rouge_l", "spice")
    inputs = ("image", "video", "audio")
    default_dataset = "scenes"
    metrics = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l")
    encoders = {"image": "conv", "video": "conv3d", "audio": "audio_transformer"}
    decoder = {"name": "rnn", "layers": 2, "fusion_at": "every"}
    unit = "images"
    shown_as = {"target": "captions"}
    prompt = Prompt(text="Describe the {medium} in one sentence.", reads="line")

    def resolve(self, recipe: Recipe, dataset: DatasetSpec) -> Recipe:
        """With an encoder of texts too where a recipe names one for objectives of its stages.

        Writing needs none; aligning texts with the medium, or matching them, does.
        """
        text = recipe.encoders.get("text")
        if text is None or not any(set(stage.objective) - {TASK} for stage in recipe.stages):
            return super().resolve(recipe, dataset)
        media = {modality: part for modality, part in recipe.encoders.items() if modality != "text"}
        resolved = super().resolve(recipe.model_copy(update={"encoders": media}), dataset)
        return resolved.model_copy(update={"encoders": {"text": text, **resolved.encoders}})

    def references(self, dataset: DatasetSpec) -> Sequence[str]:
        """A language model of the captions, which sees no medium."""
        return ("prior_only",)

    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """A sample for each image, with all its captions."""
        data = load_split(dataset, split, "captions")
        samples = [
            Sample(
                id=str(row.get("id", f"{split}/{row['row']}")),
                inputs=data.inputs(row),
                target=row["captions"],
                group=row["group"],
                category=row.get("category"),
            )
            for row in data.rows.to_list()
        ]
        return SampleSet(samples, dataset.name, split, data.fingerprint, skipped=data.skipped)

    def read_files(
        self, predictions: Path, references: Path, questions: Path | None
    ) -> PredictionFile:
        """Results and annotations of COCO, or tables."""
        return read_prediction_file(COCO_RESULTS, predictions, references, questions)

    def read_answers(self, predictions: Path, samples: SampleSet) -> list[str]:
        """Those of results of COCO, or of a table."""
        return read_answers(COCO_RESULTS, predictions, samples)

    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The words of the captions, and how many a caption may have."""
        captions = [caption for sample in samples for caption in sample.target]
        vocabulary = Vocabulary.of(captions)
        longest = max(len(row) for row in vocabulary.rows(captions))
        return {"words": vocabulary.words, "longest": longest + _ROOM}

    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> CaptioningModel:
        from mmbench_tasks.captioning.model import CaptioningModel

        return CaptioningModel(recipe, words=assets["words"], longest=assets["longest"])

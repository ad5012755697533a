"""What VQA is: a question about an image, answered by one of the answers known from training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmbench.data.dataset import DatasetSpec
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.splits import load_split
from mmbench.data.words import Vocabulary
from mmbench.task import Task

if TYPE_CHECKING:
    from mmbench.recipe import Recipe
    from mmbench_tasks.vqa.model import VQAModel


class VQA(Task):
    """Visual question answering: name the answer to a question about an image."""

    name = "vqa"
    inputs = ("image", "text")
    default_dataset = "easy_vqa"
    metrics = ("accuracy",)
    encoders = {"image": "conv", "text": "gru"}
    decoder = "classifier"
    unit = "questions"

    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """Samples with an image and a question; group is the image, category the answer's type."""
        data = load_split(dataset, split, "questions")
        category = {a: name for name, answers in dataset.categories.items() for a in answers}
        samples = [
            Sample(
                id=str(row.get("id", f"{split}/{row['row']}")),
                inputs={**data.inputs(row), "text": row["text"]},
                target=row["target"],
                group=row["group"],
                category=row.get("category", category.get(str(row["target"]))),
            )
            for row in data.rows.to_list()
        ]
        return SampleSet(samples, dataset.name, split, data.fingerprint, skipped=data.skipped)

    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The words of the questions, and the answers to choose from."""
        return {
            "words": Vocabulary.of(str(sample.inputs["text"]) for sample in samples).words,
            "answers": sorted({str(sample.target) for sample in samples}),
        }

    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> VQAModel:
        """See `mmbench_tasks.vqa.model.VQAModel`."""
        from mmbench_tasks.vqa.model import VQAModel

        return VQAModel(recipe, words=assets["words"], answers=assets["answers"])

"""What retrieval is: every text asks for its image (video, sound), every image for its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.data.dataset import DatasetSpec
from mmbench.data.prediction_files import PredictionFile
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.splits import load_split
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.task import Task

if TYPE_CHECKING:
    from mmbench.recipe import Recipe
    from mmbench_tasks.retrieval.model import RetrievalModel


class Retrieval(Task):
    """Retrieval: rank a gallery of images by a text, and one of texts by an image.

    A sample is an image or a text that asks. Its target is the direction that it asks in, and its
    right items are those of the other side in its group. A predictor answers with embeddings or
    scores (`mmbench_tasks.retrieval.answers`); what is scored are the ranks that the right items
    then have in the gallery of all samples of the other side.
    """

    name = "retrieval"
    title = "Retrieval"
    paper_metrics = ("*_recall_at_1", "*_recall_at_5", "*_recall_at_10")
    answer_kind = "embeddings or scores"
    shown_as = {"text": "caption", "target": "asks", "answer": "ranks of the right items"}
    inputs = ("image", "video", "audio", "text")
    default_dataset = "scenes"
    metrics = (
        *(f"text_to_image_recall_at_{k}" for k in (1, 5, 10)),
        *(f"image_to_text_recall_at_{k}" for k in (1, 5, 10)),
        "text_to_image_median_rank",
        "image_to_text_median_rank",
        "rsum",
    )
    encoders = {
        "image": "conv",
        "video": "conv3d",
        "audio": "audio_transformer",
        "text": "gru",
    }
    decoder = "classifier"
    unit = "queries"
    limit_groups = True
    answers_by_sample = False

    def references(self, dataset: DatasetSpec) -> Sequence[str]:
        """Both sides encoded apart, without a fusion that looks at them together."""
        return ("dual_encoder",)

    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """A query for each image, followed by one for each of its captions."""
        if len(dataset.modalities) != 1:
            raise MMBenchError(
                f"retrieval finds one kind of medium by text; {dataset.name} has "
                f"{' and '.join(dataset.modalities)}"
            )
        modality = dataset.modalities[0]
        data = load_split(dataset, split, "captions")
        samples = []
        for row in data.rows.to_list():
            name = str(row.get("id", f"{split}/{row['row']}"))
            group = row["group"]
            samples.append(Sample(name, data.inputs(row), f"{modality}_to_text", group))
            samples += [
                Sample(f"{name}#{number}", {"text": text}, f"text_to_{modality}", group)
                for number, text in enumerate(row["captions"])
            ]
        return SampleSet(samples, dataset.name, split, data.fingerprint, skipped=data.skipped)

    def file_metrics(self, references: Path, targets: Sequence[Any] = ()) -> Sequence[str]:
        """Those that such references are usually scored by."""
        from mmbench_tasks.retrieval.files import usual_metrics

        return usual_metrics(references)

    def read_files(
        self, predictions: Path, references: Path, questions: Path | None
    ) -> PredictionFile:
        """Scores, embeddings or lists: see `mmbench_tasks.retrieval.files.read_retrieval`."""
        from mmbench_tasks.retrieval.files import read_retrieval

        return read_retrieval(predictions, references)

    def read_answers(self, predictions: Path, samples: SampleSet) -> list[Any]:
        """Embeddings or scores of the dataset's media and captions, each in its order."""
        from mmbench_tasks.retrieval.files import read_retrieval_answers

        return read_retrieval_answers(predictions, samples)

    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The words of the captions."""
        texts = (s.inputs["text"] for s in samples if "text" in s.inputs)
        return {"words": Vocabulary.of(texts).words}

    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> RetrievalModel:
        from mmbench_tasks.retrieval.model import RetrievalModel

        return RetrievalModel(recipe, words=assets["words"])

    def conclude(
        self, samples: Sequence[Sample], answers: Sequence[Any]
    ) -> tuple[list[Any], list[str]]:
        """The ranks of each query's right items, ascending."""
        from mmbench_tasks.retrieval.ranks import ranks_of

        return ranks_of(samples, answers)

"""What VQA is: a question about media, answered by one of the answers known from training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.data.dataset import DatasetSpec
from mmbench.data.prediction_files import (
    VQA_RESULTS,
    PredictionFile,
    read_answers,
    read_prediction_file,
)
from mmbench.data.sample import Sample, SampleSet
from mmbench.data.splits import load_split, targets_of
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.prompts import Prompt
from mmbench.task import Task

if TYPE_CHECKING:
    from mmbench.compose import ComposedModel
    from mmbench.recipe import Recipe


OPTIONS = ("answers",)
MOST_ANSWERS = 3129  # as is common for VQA v2, since Anderson et al. 2018 (arXiv 1707.07998)


class VQA(Task):
    """Visual question answering: name the answer to a question about an image, or other media.

    A dataset's `modalities` say what its questions are about: an image, a video, a sound, or
    several of them.

    A target is the right answer, or the list of several annotators' answers. A model chooses among
    the most frequent answers of training; or, where a sample has `choices`, among those.

    A recipe whose decoder writes text (`flamingo`, `transformer`) has its answers written.

    A dataset's YAML may set `options: {answers: N}`: how many answers to choose from.
    """

    name = "vqa"
    title = "Visual question answering"
    inputs = ("image", "video", "audio", "text")
    default_dataset = "easy_vqa"
    metrics = ("accuracy",)
    encoders = {
        "image": "conv",
        "video": "conv3d",
        "audio": "audio_transformer",
        "text": "gru",
    }
    decoder = "classifier"
    unit = "questions"
    shown_as = {"text": "question"}
    prompt = Prompt(text="{text}\nAnswer with a single word or a short phrase.", reads="answer")

    def references(self, dataset: DatasetSpec) -> Sequence[str]:
        """The question alone, each medium alone, and the most frequent answer."""
        return ("question_only", *(f"{name}_only" for name in dataset.modalities), "majority")

    def metrics_on(self, dataset: DatasetSpec) -> Sequence[str]:
        """Those that fit the answers, where a user's own file names none."""
        if dataset.metrics or dataset.file is None or dataset.layout is None:
            return super().metrics_on(dataset)
        return self.file_metrics(dataset.file, targets_of(dataset, dataset.evaluate_on))

    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """Samples with media and a question; groups by medium, unless the dataset has its own."""
        unknown = [name for name in dataset.options if name not in OPTIONS]
        if unknown:
            raise MMBenchError(
                f"{dataset.name}: vqa knows no option '{unknown[0]}'."
                f"{did_you_mean(unknown[0], OPTIONS)} It knows {', '.join(OPTIONS)}."
            )
        data = load_split(dataset, split, "questions")
        category = {a: name for name, answers in dataset.categories.items() for a in answers}
        samples = [
            Sample(
                id=str(row.get("id", f"{split}/{row['row']}")),
                inputs={**data.inputs(row), "text": row["text"], **_choices(row)},
                target=row["target"],
                group=row["group"],
                category=row.get("category", category.get(str(row["target"]))),
            )
            for row in data.rows.to_list()
        ]
        return SampleSet(
            samples,
            dataset.name,
            split,
            data.fingerprint,
            skipped=data.skipped,
            options=dataset.options,
        )

    def file_metrics(self, references: Path, targets: Sequence[Any] = ()) -> Sequence[str]:
        """The official evaluation's where annotators judge; equality where there is one answer."""
        from mmbench.metrics.vqa.vqa_accuracy import ENOUGH

        if any(len(target) > ENOUGH for target in targets if not isinstance(target, str)):
            return ("vqa_accuracy",)
        one_each = all(isinstance(target, str) for target in targets)
        return ("accuracy",) if one_each else ("exact_match",)

    def read_files(
        self, predictions: Path, references: Path, questions: Path | None
    ) -> PredictionFile:
        """Results and annotations of visualqa.org, or tables."""
        return read_prediction_file(VQA_RESULTS, predictions, references, questions)

    def read_answers(self, predictions: Path, samples: SampleSet) -> list[str]:
        """Those of results of visualqa.org, or of a table."""
        return read_answers(VQA_RESULTS, predictions, samples)

    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The words of the questions, and the answers to choose from: None where each has own."""
        texts = [str(sample.inputs["text"]) for sample in samples]
        texts += [choice for sample in samples for choice in sample.inputs.get("choices", ())]
        words = Vocabulary.of(texts).words
        if all("choices" in sample.inputs for sample in samples):
            return {"words": words, "answers": None}
        options = samples.options if isinstance(samples, SampleSet) else {}
        counts = Counter(most_frequent(sample.target) for sample in samples)
        ordered = sorted(counts, key=lambda answer: (-counts[answer], answer))
        return {"words": words, "answers": sorted(ordered[: options.get("answers", MOST_ANSWERS)])}

    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> ComposedModel:
        from mmbench.zoo.decoders.text import TextDecoder
        from mmbench_tasks.vqa.choices import ChoiceModel
        from mmbench_tasks.vqa.model import VQAModel
        from mmbench_tasks.vqa.written import WrittenModel

        assert recipe.decoder is not None  # a resolved recipe has one
        if issubclass(registry.load("decoders", recipe.decoder.name), TextDecoder):
            if assets["answers"] is None:
                raise MMBenchError(
                    f"the decoder {recipe.decoder.name} writes its answers, and here each question "
                    "has choices of its own: choose classifier"
                )
            return WrittenModel(recipe, words=assets["words"], answers=assets["answers"])
        if assets["answers"] is None:
            return ChoiceModel(recipe, words=assets["words"])
        return VQAModel(recipe, words=assets["words"], answers=assets["answers"])


def most_frequent(target: str | Sequence[str]) -> str:
    """The answer to train on: the one that most annotators gave, among equals the first.

    >>> most_frequent("no"), most_frequent(["red", "blue", "blue"])
    ('no', 'blue')
    """
    return target if isinstance(target, str) else Counter(target).most_common(1)[0][0]


def _choices(row: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {"choices": tuple(row["choices"])} if row.get("choices") else {}

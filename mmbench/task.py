"""The `Task` and `Predictor` contracts: what a task plug-in supplies, and what a predictor does.

A task is found by its entry point in the group `mmbench.tasks`. Its module must be light to
import: it imports torch inside `build` alone, so that `mmbench list` stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from mmbench import registry
from mmbench.data.dataset import DatasetSpec, load_spec
from mmbench.data.prediction_files import PredictionFile, read_answers, read_prediction_file
from mmbench.data.sample import Query, Sample, SampleSet
from mmbench.errors import MMBenchError
from mmbench.prompts import Prompt
from mmbench.recipe import PartLike, Recipe, read_part

if TYPE_CHECKING:
    from mmbench.model import TaskModel


class Task(ABC):
    """What is asked: inputs, target, metrics, and how a model for it is composed.

    Attributes:
        name: its entry point's name.
        inputs: modalities of its samples.
        default_dataset: what `mmbench run --task NAME` runs on; must need no download.
        metrics: names of metrics, the primary one first.
        encoders: by modality, the encoder of a recipe that names none, with its options.
        decoder: the decoder of a recipe that names none, with its options.
        unit: what its samples are called ("questions").
        title: what a paper calls it ("Captioning"); made of the name if empty.
        paper_metrics: patterns of the metrics that a paper's table shows of it
            ("text_to_*_recall_at_*"), as of `fnmatch`; the primary one alone if empty.
        limit_groups: whether `--limit` counts groups: an image with all its captions.
        chosen_by: what the weights of an epoch are chosen by on validation: the first metric, or
            the loss where answers take too long to be made every epoch.
        version: raised when the same samples and weights give other answers.
        answers_by_sample: whether a sample holds all that is asked about: its inputs may be put
            beside each other otherwise. Not where samples are looked for among each other.
        answer_kind: what an answer is: "text", or the task's own word for something else. A
            predictor that is not a neural network must give answers of this kind.
        prompt: how models from elsewhere are asked, where a dataset does not say
            (`mmbench.prompts`).
        shown_as: what a person is told that an input, the `target` and the `answer` are, as a
            record keeps them (see `table`), where it is not their own name.
    """

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    default_dataset: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    encoders: ClassVar[Mapping[str, PartLike]]
    decoder: ClassVar[PartLike]
    unit: ClassVar[str] = "samples"
    title: ClassVar[str] = ""
    paper_metrics: ClassVar[tuple[str, ...]] = ()
    limit_groups: ClassVar[bool] = False
    chosen_by: ClassVar[Literal["metric", "loss"]] = "metric"
    version: ClassVar[int] = 1
    answers_by_sample: ClassVar[bool] = True
    answer_kind: ClassVar[str] = "text"
    prompt: ClassVar[Prompt | None] = None
    shown_as: ClassVar[Mapping[str, str]] = {}

    def dataset(
        self, name: str | None = None, data_dir: str | Path | None = None, skip_bad: bool = False
    ) -> DatasetSpec:
        """A dataset of this task.

        Args:
            name: registered, or the path of a YAML file; the default one if None.
            data_dir: the folder of its files, where they do not come with mmbench.
            skip_bad: leave out samples whose media cannot be read, instead of refusing them.
        """
        spec = load_spec(name or self.default_dataset, self.name)
        folder = spec.data_dir if data_dir is None else Path(data_dir)
        return spec.model_copy(update={"data_dir": folder, "skip_bad": skip_bad})

    def resolve(self, recipe: Recipe, dataset: DatasetSpec) -> Recipe:
        """The recipe with this task's defaults for what it leaves open on a dataset.

        A predictor that asks by a prompt is given the dataset's, or else the task's.

        Raises: MMBenchError if its predictor gives no answers of this task's kind.
        """
        if recipe.predictor:
            _check_answers(self, recipe.predictor.name)
            return recipe.asking(dataset.prompt or self.prompt)
        absent = {"image", "video", "audio"} - set(dataset.modalities)
        encoders = {
            modality: read_part(dataset.encoders.get(modality, part)).over(read_part(part))
            for modality, part in self.encoders.items()
            if modality not in absent
        }
        return recipe.resolve(encoders, self.decoder, dataset.train)

    def adapt(self, dataset: DatasetSpec, recipe: Recipe) -> DatasetSpec:
        """The dataset as a resolved recipe needs it, such as its images in another size."""
        return dataset

    def metrics_on(self, dataset: DatasetSpec) -> Sequence[str]:
        """Names of the metrics that a dataset is scored by, the primary one first."""
        return dataset.metrics or self.metrics

    def references(self, dataset: DatasetSpec) -> Sequence[str]:
        """Recipes that fuse nothing, for a dataset's modalities: what a fusion must be better than.

        `mmbench compare` runs them beside the models that are asked for. None by default.
        """
        return ()

    @abstractmethod
    def load(self, dataset: DatasetSpec, split: str) -> SampleSet:
        """The samples of a split."""

    @abstractmethod
    def assets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """What a model must know of its training samples besides its weights, as plain JSON.

        For example its vocabulary. It is kept in the checkpoint.
        """

    @abstractmethod
    def build(self, recipe: Recipe, assets: Mapping[str, Any]) -> TaskModel:
        """A model with fresh weights, composed from the zoo as the resolved recipe says."""

    def conclude(
        self, samples: Sequence[Sample], answers: Sequence[Any]
    ) -> tuple[list[Any], list[str]]:
        """What the metrics are given of a predictor's answers, and notes for the record.

        For a task whose predictors do not give what it is scored by: those of retrieval give
        embeddings or scores, and the task, which alone knows the right items, ranks them.

        Args:
            samples: all that were asked.
            answers: to each.
        Raises: MMBenchError if the answers are not what the task takes.
        """
        return list(answers), []

    def targets(self, samples: Sequence[Sample]) -> list[Any]:
        """The right answers, as the record's table of predictions has them."""
        return [sample.target for sample in samples]

    def table(self, samples: Sequence[Sample], answers: Sequence[Any]) -> dict[str, list[Any]]:
        """Columns of the record's predictions, a row a sample: `target` and `prediction`."""
        return {"target": self.targets(samples), "prediction": list(answers)}

    def answers(self, column: Sequence[Any]) -> list[Any]:
        """The answers from the `prediction` column of the record's table, as `table` put them."""
        return list(column)

    def file_metrics(self, references: Path, targets: Sequence[Any] = ()) -> Sequence[str]:
        """Names of the metrics that predictions made elsewhere are scored by, if none are named.

        Args:
            references: the file that they are held against.
            targets: the right answers in it; none where answers are images.
        """
        return self.metrics

    def read_files(
        self, predictions: Path, references: Path, questions: Path | None
    ) -> PredictionFile:
        """Predictions made elsewhere, matched to what they are held against.

        By default tables: `id` and `prediction`; and `id`, `target`, `group`, `category`.

        Args:
            predictions, references: the files.
            questions: what was asked, where the task has files of it.
        Raises: MMBenchError for files that cannot be read or do not fit each other.
        """
        return read_prediction_file(None, predictions, references, questions)

    def read_answers(self, predictions: Path, samples: SampleSet) -> list[Any]:
        """Answers made elsewhere to samples of a dataset, as a predictor would have given them.

        By default the texts of a table, `id` and `prediction`.

        Args:
            predictions: the file.
            samples: in whose order they are.
        Raises: MMBenchError for a file that cannot be read or does not fit the samples.
        """
        return read_answers(None, predictions, samples)

    def pictures(self, samples: Sequence[Sample], answers: Sequence[Any]) -> dict[str, bytes]:
        """Files to keep with the record for a person to look at, by name."""
        return {}


def _check_answers(task: Task, name: str) -> None:
    kinds = getattr(registry.load("predictors", name), "answer_kinds", None)
    if kinds is not None and task.answer_kind not in kinds:
        raise MMBenchError(
            f"{name} answers with {' or '.join(kinds)}, and {task.name} asks for "
            f"{task.answer_kind}: choose another model (`mmbench list models`)"
        )


# What a predictor's constructor is told, if it asks for it.
TOLD = ("answer_kind", "device", "anew", "draw")


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer of a server took.

    Attributes:
        requests: that were made for it now.
        kept: whether it was kept from an earlier run.
        tokens_in, tokens_out: that were read and written for it, now or then; None if unknown.
        price: of these; None where no prices are given.
    """

    requests: int = 0
    kept: bool = False
    tokens_in: int | None = None
    tokens_out: int | None = None
    price: float | None = None


@dataclass(slots=True)  # frozen it takes three times as long to make, and there are many
class Answer:
    """What a predictor gave for a query.

    Attributes:
        value: the answer; what it is depends on the task.
        seconds: that it took, where it was made by itself; None where it was one of a batch.
        written: all that was written, where the answer was read off it.
        usage: what it took, where a server gave it.
    """

    value: Any
    seconds: float | None = None
    written: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """That a predictor could not answer a query: never scored as if it were an answer.

    Attributes:
        reason: in a few words, the same for all that failed alike.
        seconds: until it failed, where known.
        usage: what it took, where a server was asked.
    """

    reason: str
    seconds: float | None = None
    usage: Usage | None = None


class Predictor(Protocol):
    """All that a model from elsewhere must have.

    Registered under `mmbench.predictors` and named by a recipe's `predictor`, with options for its
    constructor; or by `--model module:Class`. One that also has `fit(samples)` is given the
    training samples first. Its constructor is told, where it has such parameters, `answer_kind`
    (see `Task.answer_kind`), `device`, `anew` (whether nothing that is kept of an earlier run
    may be taken), `draw` (the run's seed: which of several draws this is), and the dataset's
    `prompt` and `reads` (`mmbench.prompts`), which a recipe may set otherwise. Class attributes,
    none of which it must have: `answer_kinds` names the kinds of answers that it can give; one
    without is tried on every task. `named_by` names the options that follow its name in
    `--model NAME:OPTION@OPTION`. `decides_nothing` names options that change no answer. `draws`
    names the kinds of answers that `draw` changes, where it is not all of them. A method
    `parameters()` gives how many it has, by part; `notes()` what a reader of its answers should
    know, once they are made; `starts(queries)` the places where queries may be parted among
    several processes (`mmbench.processes`), each of which answers a part, with no answer changed.
    """

    def predict(self, queries: Sequence[Query]) -> Iterable[Answer | Failure]:
        """An answer or a failure per query, in order, as they come."""


@runtime_checkable
class FittedPredictor(Predictor, Protocol):
    """A predictor that learns from the training samples."""

    def fit(self, samples: Sequence[Sample]) -> None:
        """Learn from the training samples."""

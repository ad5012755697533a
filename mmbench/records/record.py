"""The record of a run: `run.json`, typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from mmbench.json_values import storable
from mmbench.recipe import digest
from mmbench.records.identity import Identity

SCHEMA_VERSION = 2


class RecordPart(BaseModel):
    """Part of a file that is a record: nothing else in it, and texts that UTF-8 can hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return storable(value)


class IntervalEntry(RecordPart):
    """A confidence interval of a value.

    Attributes:
        low, high: its ends, on the value's scale.
        level: its nominal coverage.
        method: how it was made.
        replicates: bootstrap replicates.
        groups: how many groups (images) were redrawn.
    """

    low: float
    high: float
    level: float
    method: str
    replicates: int
    groups: int


class MetricEntry(RecordPart):
    """A metric's value.

    Attributes:
        name, signature, higher_is_better, scale: the metric's own (see `mmbench.metrics.base`).
        category: the kind of samples it is over; None for all.
        value: unscaled.
        samples: how many it is over.
        interval: of the value.
        ceiling: the value that the real data get, where the metric knows it.
        standard_error: of a mean, robust to dependence within groups; None for what is no mean.
    """

    name: str
    signature: str
    higher_is_better: bool
    scale: float
    category: str | None
    value: float
    samples: int
    interval: IntervalEntry | None
    ceiling: float | None = None
    standard_error: float | None = None


class Weights(RecordPart):
    """Where the weights are from.

    Attributes:
        source: "trained" by this run, "shipped" beside the recipe, a "checkpoint" file, "none" for
            a predictor without, or "elsewhere" for predictions that were only scored here.
        sha256: of the file's content, for shipped weights and checkpoints.
        file: its name.
    """

    source: Literal["trained", "shipped", "checkpoint", "none", "elsewhere"]
    sha256: str | None = None
    file: str | None = None


class JointEntry(RecordPart):
    """Of a run whose weights answer several tasks, all of it.

    Attributes:
        tasks: by name, the dataset that each was trained on.
        parameters: of all tasks' parts together, each once; those that this task's answers take
            are the record's `parameters`.
    """

    tasks: dict[str, str]
    parameters: int


class TuningEntry(RecordPart):
    """The trials that a run's settings were chosen by, on validation data.

    Attributes:
        trials: how many were made, and
        failed: how many of these gave no value.
        keys: of the settings that were tried.
        metric: the signature of what chose.
        best: its value of the chosen trial, unscaled, and
        low, high: of all trials that gave one.
        sd: over these (n - 1); None for fewer than two. It is not that of seeds.
    """

    trials: int
    failed: int
    keys: list[str]
    metric: str
    best: float
    low: float
    high: float
    sd: float | None


class TrainingEntry(RecordPart):
    """How training went; see `mmbench.training.loop.Trained`."""

    seconds: float
    samples: int
    samples_per_second: float
    best_epoch: int
    best_validation: float
    train_fingerprint: str
    validation_fingerprint: str


class InferenceEntry(RecordPart):
    """How inference went.

    Attributes:
        seconds: for all samples.
        samples_per_second: over these.
        batch: groups a batch.
        latency_p50, latency_p95: seconds that one sample alone takes, median and 95th percentile.
        latency_samples: how many were asked alone for it.
    """

    seconds: float
    samples_per_second: float
    batch: int
    latency_p50: float | None = None
    latency_p95: float | None = None
    latency_samples: int = 0


class RequestsEntry(RecordPart):
    """What the answers of a server took.

    Attributes:
        requests: that this run made, with those that failed.
        kept: answers that were kept from an earlier run, and so needed none.
        tokens_in, tokens_out: that were read and written for all its answers; None if unknown.
        latency_p50, latency_p95: seconds that an answer took, median and 95th percentile.
        price: of the tokens; None where no prices were given.
    """

    requests: int
    kept: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    latency_p50: float | None = None
    latency_p95: float | None = None
    price: float | None = None


class Environment(RecordPart):
    """Where the run ran.

    Attributes:
        mmbench, python, packages, platform: versions.
        device, device_name: as torch and its maker call it.
        threads: of torch.
        precision: that models are trained in.
        cuda, cudnn: versions, on a GPU.
        deterministic: whether repeats were to give the same bytes on a GPU too.
        compiled: whether training steps and answering were compiled by torch.compile.
        processes: how many shared the run out among them.
        git_commit, git_dirty: of mmbench's own checkout, and whether files in it were changed.
    """

    mmbench: str
    python: str
    packages: dict[str, str]
    platform: str
    device: str
    device_name: str
    threads: int
    precision: str = "float32"
    cuda: str | None = None
    cudnn: str | None = None
    deterministic: bool = False
    compiled: bool = False
    processes: int = 1
    git_commit: str | None
    git_dirty: bool | None


class Record(RecordPart):
    """All that is known of a run.

    Attributes:
        schema_version: of this layout.
        created: when the run ended, UTC, ISO 8601.
        task, dataset, split, limit, fingerprint: the data; `fingerprint` is of the whole split.
        samples, groups: how many were asked; all are scored but those that failed.
        model: the recipe's name.
        titles: what the files of its `model` and `dataset` call them, where these are files that
            are not installed.
        recipe: its resolved settings.
        overrides: what `--set` changed.
        weights: where the weights are from.
        identity: all that decides the predictions but the seed; its hash names the folder.
        seed: of initialisation, batches and dropout.
        metrics: every value, with interval and signature, the primary one first.
        parameters: by part.
        joint: of a model that answers other tasks too, the whole of it.
        tuning: what chose its settings, where trials did.
        flops_per_sample: of the forward pass of one sample alone; None for a predictor without.
        training, inference: time and throughput; None where there was none.
        requests: what the answers of a server took; None where none was asked.
        notes: what a reader of the numbers should know, such as empty captions.
        skipped: by split, how many samples were left out since they could not be read.
        failed: by metric, why it could not be computed.
        unanswered: by reason, how many queries have no answer, and so are not scored.
        peak_memory_mb: largest resident size of the process during this run, in 10^6 bytes; None
            where the system does not tell it for a run alone.
        peak_gpu_memory_mb: most memory that tensors took on the GPU, in 10^6 bytes.
        environment: versions and device.
        files: SHA-256 of the record's other files, by name.
        content: SHA-256 of all the rest of this record, so that an edited one is known.
    """

    schema_version: int = SCHEMA_VERSION
    created: str
    task: str
    dataset: str
    split: str
    limit: int | None
    fingerprint: str
    samples: int
    groups: int
    model: str
    titles: dict[str, str] = {}
    recipe: dict[str, Any]
    overrides: dict[str, Any]
    weights: Weights
    identity: Identity
    seed: int
    metrics: list[MetricEntry]
    parameters: dict[str, int]
    joint: JointEntry | None = None
    tuning: TuningEntry | None = None
    flops_per_sample: int | None
    training: TrainingEntry | None
    inference: InferenceEntry | None
    requests: RequestsEntry | None = None
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None = None
    environment: Environment
    notes: list[str] = []
    skipped: dict[str, int] = {}
    failed: dict[str, str] = {}
    unanswered: dict[str, int] = {}
    files: dict[str, str]
    content: str = ""

    @property
    def hash(self) -> str:
        """Of its identity."""
        return self.identity.hash

    @property
    def primary(self) -> MetricEntry:
        """The metric that models are ranked by, over all samples."""
        return self.metrics[0]

    @property
    def unanswered_count(self) -> int:
        """How many queries have no answer."""
        return sum(self.unanswered.values())

    def sealed(self) -> Record:
        """The record with `content` filled in."""
        return self.model_copy(update={"content": content_digest(self.model_dump(mode="json"))})


def content_digest(value: Mapping[str, Any]) -> str:
    """SHA-256 of a record's JSON as its file has it, less `content`.

    Of the file and not of the record that is read from it: a field that is added later, with a
    default, changes no record of before.
    """
    return digest({key: inner for key, inner in value.items() if key != "content"})

"""What a run is: everything that decides its result, settled before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmbench import registry
from mmbench.checkpoint import Header, read_header, shipped_weights
from mmbench.data.dataset import DatasetSpec
from mmbench.data.sample import SampleSet
from mmbench.elsewhere import short_name
from mmbench.errors import MMBenchError
from mmbench.experiments import epoch_choice
from mmbench.experiments.joint_recipe import recipe_of_several
from mmbench.experiments.score import load_metrics
from mmbench.experiments.splits import Splits, StageSource, splits_of, stage_sources
from mmbench.metrics.base import Metric
from mmbench.processes import here
from mmbench.recipe import TRAINING_KINDS, Part, Recipe, load_recipe
from mmbench.records.identity import Identity
from mmbench.records.record import Weights
from mmbench.records.store import record_folder
from mmbench.request import RunRequest
from mmbench.task import TOLD, Task
from mmbench.training import JOINT_VERSION
from mmbench.training import VERSION as TRAINING_VERSION
from mmbench.training.kinds import device_kind
from mmbench.versions import part_version
from mmbench.yaml_file import validate
from mmbench.zoo.part import check_options

Source = Literal["shipped", "checkpoint"]


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        request: what was asked for.
        task, dataset, recipe: as found; the recipe is resolved for the task.
        model: the recipe's name.
        split: that is scored.
        metrics: the dataset's, or else the task's.
        weights: where the weights are from.
        checkpoint: what the file says that they are read from; None where they are trained.
        init: what the file says whose weights training begins from, if it does.
        splits: of the dataset.
        sources: by name, the stages that are trained on other samples, and where these are from.
        identity: all that decides the predictions.
    """

    request: RunRequest
    task: Task
    dataset: DatasetSpec
    recipe: Recipe
    model: str
    split: str
    metrics: list[Metric]
    weights: Weights
    checkpoint: Header | None
    init: Header | None
    splits: Splits = field(repr=False)
    sources: dict[str, StageSource] = field(repr=False)
    identity: Identity

    @property
    def seed(self) -> int:
        """Of initialisation, batches and dropout."""
        return self.request.seed

    @property
    def samples(self) -> SampleSet:
        """To score."""
        whole = self.splits.samples(self.split)
        return whole.limited(self.request.limit, self.task.limit_groups)

    @property
    def train(self) -> SampleSet | None:
        """What is learnt from; None where the weights are there."""
        return self.splits.samples("train") if "train" in self.identity.fitted_on else None

    @property
    def validation(self) -> SampleSet | None:
        """What chooses the epoch; None where nothing is trained."""
        chooses = "validation" in self.identity.fitted_on
        return self.splits.samples("validation") if chooses else None

    def trained_on(self, stage: str) -> tuple[SampleSet, SampleSet]:
        """What a stage is trained on, and what chooses its epoch."""
        if (source := self.sources.get(stage)) is not None:
            return source.train, source.validation
        assert self.train is not None
        assert self.validation is not None
        return self.train, self.validation

    @property
    def folder(self) -> Path:
        """Where its record lies, or will."""
        return record_folder(
            self.request.out,
            self.task.name,
            self.dataset.name,
            self.model,
            self.identity.hash,
            self.seed,
        )

    def read(self) -> Sequence[SampleSet]:
        """All splits that it needs, read now: what is to be scored, then what it learns from.

        Raises: MMBenchError if a split is not what the cache said, which a file that is changed
            without its time and size being so can do.
        """
        read = [s for s in (self.samples, self.train, self.validation) if s is not None]
        known = {self.split: self.identity.fingerprint, **self.identity.fitted_on}
        named = [(samples.split, samples) for samples in read]
        for stage, source in self.sources.items():
            both = source.train, source.validation  # so that a share without groups is told now
            named += [(f"{stage}.{samples.split}", samples) for samples in both]
        for name, samples in named:
            if samples.fingerprint != known.get(name, samples.fingerprint):
                raise MMBenchError(
                    f"{samples.dataset}, split {samples.split}, was changed while it was looked "
                    "at. Run it again."
                )
        return read


def make_plan(
    request: RunRequest,
    read: dict[str, Splits] | None = None,
    together: Sequence[str] = (),
) -> Plan:
    """Find everything by name and check that it fits.

    Args:
        request: what is asked for.
        read: splits that were read for other requests, which this one shares and adds to.
        together: the tasks that are trained together, the request's among them; none where it is
            trained by itself.
    Raises: MMBenchError for whatever does not exist or does not fit.
    """
    task: Task = registry.load("tasks", request.task)()
    spec = task.dataset(request.dataset, request.data_dir, request.skip_bad)
    recipe = load_recipe(request.model, request.overrides)
    recipe = recipe_of_several(recipe, request, task.name, together)
    recipe = task.resolve(recipe, spec)
    spec = task.adapt(spec, recipe)
    header = init = None
    if request.init is not None:
        if recipe.predictor:
            raise MMBenchError(f"{request.model} is not trained, so it takes no --init")
        init = read_header(request.init).of(task.name)
    if recipe.predictor:
        if request.checkpoint is not None:
            raise MMBenchError(f"{request.model} has no weights, so it takes no --checkpoint")
        check_options("predictors", recipe.predictor.name, recipe.predictor.options, TOLD)
        weights = Weights(source="none")
    elif request.train:
        if request.compile and recipe.balance is not None:
            raise MMBenchError(
                f"--compile cannot train with a balance ({recipe.balance.name}): gradients that a "
                "balance asks for itself come out as zero, without a word. Leave --compile off."
            )
        weights = Weights(source="trained")
    else:
        header, source = _find_checkpoint(task, spec, recipe, request)
        weights = Weights(source=source, sha256=header.sha256, file=Path(header.path).name)
    read = {} if read is None else read
    splits = splits_of(task, spec, read)
    metrics = load_metrics(splits.metrics, request.allow_hub_code)
    trained = weights.source == "trained"
    sources = stage_sources(request, task, spec, recipe, read) if trained else {}
    split = request.split or spec.evaluate_on
    return Plan(
        request=request,
        task=task,
        dataset=spec,
        recipe=recipe,
        model=recipe_name(request.model),
        split=split,
        metrics=metrics,
        weights=weights,
        checkpoint=header,
        init=init,
        splits=splits,
        sources=sources,
        identity=_identity(
            request, task, spec, recipe, split, metrics, weights, splits, sources, init
        ),
    )


def recipe_name(model: str) -> str:
    """What a recipe, named or by path, is called."""
    return Path(model).stem if model.endswith((".yaml", ".yml")) else short_name(model)


def _identity(
    request: RunRequest,
    task: Task,
    spec: DatasetSpec,
    recipe: Recipe,
    split: str,
    metrics: Sequence[Metric],
    weights: Weights,
    splits: Splits,
    sources: Mapping[str, StageSource],
    init: Header | None,
) -> Identity:
    trained = weights.source == "trained"
    facts = splits.facts(split)
    count = facts.groups if task.limit_groups else facts.samples
    limited = request.limit is not None and request.limit < count
    fitted = recipe.predictor and hasattr(registry.load("predictors", recipe.predictor.name), "fit")
    fitted_on = ["train", "validation"] if trained else ["train"] if fitted else []
    parts = {f"tasks:{task.name}": part_version("tasks", task.name)}
    parts |= {
        f"{kind}:{part.name}": part_version(kind, part.name)
        for kind, part in recipe.parts().values()
        if trained or kind not in TRAINING_KINDS
    }
    chosen_by = None
    if trained:
        parts["training"] = TRAINING_VERSION
        choose = epoch_choice.chosen_by
        if recipe.joint is not None:
            parts["joint"] = JOINT_VERSION
            choose = epoch_choice.joint_chosen_by
        chosen_by = choose(task, metrics, recipe, request.allow_hub_code)
    device = device_kind(request.device) if trained else None
    return Identity(
        task=task.name,
        dataset=spec.name,
        split=split,
        limit=request.limit if limited else None,
        fingerprint=facts.fingerprint,
        data={
            key: value
            for key, value in (("options", spec.options), ("categories", spec.categories))
            if value
        },
        settings=recipe.deciding(trained),
        parts=parts,
        weights=weights.sha256 or weights.source,
        fitted_on={
            **{name: splits.facts(name).fingerprint for name in fitted_on},
            **{k: v for source in sources.values() for k, v in source.fingerprints.items()},
        },
        init=init.sha256 if init else None,
        chosen_by=chosen_by,
        device=device,
        threads=request.threads if device == "cpu" else None,
        compiled=True if trained and request.compile else None,
        processes=here().count if trained and here().several else None,
    )


def _find_checkpoint(
    task: Task, dataset: DatasetSpec, recipe: Recipe, request: RunRequest
) -> tuple[Header, Source]:
    """The checkpoint that was named, or the shipped one; its recipe must be the one asked for."""
    model = request.model
    place = f"{task.name}/{dataset.name}"
    source: Source = "shipped" if request.checkpoint is None else "checkpoint"
    if request.checkpoint is not None:
        header = read_header(request.checkpoint)
    else:
        shipped = shipped_weights(task.name, dataset.name, model)
        if not shipped.exists():
            raise MMBenchError(
                f"{model} has no trained weights for {place}. "
                "Train them with --train, or name some with --checkpoint."
            )
        header = read_header(shipped)
        if header.about.get("seed") != request.seed:
            raise MMBenchError(
                f"the weights shipped for {model} on {place} are of seed "
                f"{header.about.get('seed')}. Train seed {request.seed} with --train."
            )
    if task.name not in header.tasks:
        raise MMBenchError(
            f"{header.path} was trained for {' and '.join(header.tasks)}, not {task.name}"
        )
    header = header.of(task.name)
    if source == "shipped":
        _check_trained_so(header, recipe, model)
    return header, source


def _check_trained_so(header: Header, recipe: Recipe, model: str) -> None:
    """Raise if shipped weights were not trained as a recipe asks."""
    # A setting that is newer than the weights had what is its default.
    known = {key: header.recipe[key] for key in Recipe.model_fields if key in header.recipe}
    trained = validate(Recipe, known, str(header.path))
    pairs = {f"train.{k}": (v, getattr(trained.train, k)) for k, v in dict(recipe.train).items()}
    pairs |= {k: (getattr(recipe, k), getattr(trained, k)) for k in ("losses", "balance", "stages")}
    for key, (asked, was) in pairs.items():
        if was != asked:
            plain = was.name if isinstance(was, Part) else was
            raise MMBenchError(
                f"the weights shipped for {model} were trained with other settings "
                f"({key}={plain}). Train them as asked with --train."
            )

"""Asks a trained model again under every condition of damage, and keeps what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench import registry
from mmbench.checkpoint import shipped_weights
from mmbench.computing import computing_on, exact_float32, with_threads
from mmbench.corruptions.conditions import (
    SHUFFLED,
    UNDAMAGED,
    Condition,
    check_corruptions,
    conditions_of,
    shuffled,
)
from mmbench.data.reading import reporting_to
from mmbench.data.sample import SampleSet
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.plan import recipe_name
from mmbench.experiments.rescore import samples_asked
from mmbench.experiments.result import RunResult
from mmbench.experiments.score import load_metrics
from mmbench.experiments.watch import SILENT, Watch
from mmbench.recipe import Recipe, load_recipe
from mmbench.records.environment import environment
from mmbench.records.locks import held
from mmbench.records.record import Record
from mmbench.records.robustness_file import (
    ConditionEntry,
    Robustness,
    RobustnessFile,
    made_of,
    read_robustness,
)
from mmbench.records.store import WEIGHTS_FILE, record_folder
from mmbench.request import RunRequest
from mmbench.task import Task
from mmbench.yaml_file import validate

if TYPE_CHECKING:
    pass

_BATCH = 128  # groups a batch, unless told otherwise


@dataclass
class Settings:
    """How models are asked.

    Attributes:
        corruptions: names; all that are registered if None.
        draws: the seed of the damage.
        device, threads, batch_size: as in `RunRequest`; they decide the speed.
        dataset: the YAML file of a dataset that is not registered.
        data_dir: the folder of its files, where they do not come with mmbench.
        checkpoint: where the weights are, of a run whose record does not lie beside them.
        force: ask again what was kept.
        watch: told of progress.
        read: splits that were read before.
    """

    corruptions: Sequence[str] | None = None
    draws: int = 0
    device: str = "auto"
    threads: int | None = None
    batch_size: int | None = None
    dataset: str | None = None
    data_dir: Path | None = None
    checkpoint: Path | None = None
    force: bool = False
    watch: Watch = SILENT
    read: dict[tuple[str, str, str], SampleSet] = field(default_factory=dict)


def modalities_of(record: Record) -> list[str]:
    """What the model of a run reads.

    Raises: MMBenchError for a run without a model of weights, which cannot be asked again, or of
        one that reads nothing.
    """
    if record.weights.source in ("none", "elsewhere"):
        raise _no_weights(record.model)
    found = read_by(validate(Recipe, record.recipe, "recipe"), record.task)
    if not found:
        raise MMBenchError(f"{record.model} reads nothing that could be damaged")
    return found


def read_by(recipe: Recipe, task: str) -> list[str]:
    """The modalities that a resolved recipe's model reads of a task's samples."""
    inputs = registry.load("tasks", task).inputs
    return [name for name, part in recipe.encoders.items() if part and name in inputs]


def check_request(request: RunRequest, models: Sequence[str], names: Sequence[str] | None) -> None:
    """Refuse, before anything is trained, what could not be asked for afterwards.

    Args:
        request: of a run of one of the models.
        models: recipes.
        names: of corruptions, if some are named.
    Raises: MMBenchError if no model has weights, or a corruption is of no modality of theirs.
    """
    task: Task = registry.load("tasks", request.task)()
    spec = task.dataset(request.dataset, request.data_dir)
    recipes = [task.resolve(load_recipe(model, request.overrides), spec) for model in models]
    if all(recipe.predictor for recipe in recipes):
        raise _no_weights(" and ".join(map(recipe_name, models)))
    read = [name for recipe in recipes for name in read_by(recipe, task.name)]
    check_corruptions(names or (), list(dict.fromkeys(read)))


def _no_weights(model: str) -> MMBenchError:
    return MMBenchError(
        f"{model} has no weights to be asked again with: robustness is of trained models"
    )


def wanted(record: Record, names: Sequence[str] | None) -> tuple[list[Condition], list[str]]:
    """The conditions of a run, the undamaged one first, and in words what is not run."""
    modalities = modalities_of(record)
    found, not_run = conditions_of(modalities, names)
    shuffles = [shuffled(modality) for modality in modalities]
    if not registry.load("tasks", record.task).answers_by_sample:
        not_run.append(
            f"{SHUFFLED}: {record.task} is asked by one input for the other, so that a shuffle "
            "leaves nothing to be found"
        )
        shuffles = []
    return [UNDAMAGED, *shuffles, *found], not_run


def damaged_results(run: RunResult, settings: Settings) -> tuple[RobustnessFile, list[str]]:
    """What a run's model does under each condition: kept beside its record, or asked for now.

    Returns: what it does under the conditions that are asked for, and what is not run, in words.
    Raises: MMBenchError for a run whose weights or data are not there, or were changed.
    """
    conditions, not_run = wanted(run.record, settings.corruptions)
    made = made_of(run.record, run.statistics().samples, settings.draws)

    def kept() -> RobustnessFile:
        file = None if settings.force else read_robustness(run.path)
        if file is not None and file.about.made != made:
            settings.watch.says(
                f"what {run.path} kept is of other weights, draws or metric: all is asked anew"
            )
        of_these = file is not None and file.about.made == made
        return file if file and of_these else RobustnessFile(Robustness(made=made))

    keys = {condition.key for condition in conditions}
    file = kept()
    if not _lacking(file, conditions):
        return file.of(keys), not_run
    weights = _weights(run, settings.checkpoint)
    with held(_root(run), run.path, settings.watch.says):
        file = kept()  # another process may have made it meanwhile
        impossible = _ask(run, weights, file, conditions, settings)
    return file.of(keys), not_run + impossible


def _lacking(file: RobustnessFile, conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions that a file does not hold as they are defined now."""
    have = file.about.conditions
    return [c for c in conditions if c.key not in have or not _same(c, have[c.key])]


def _same(condition: Condition, entry: ConditionEntry) -> bool:
    return all(getattr(entry, name) == value for name, value in vars(condition).items())


def _root(run: RunResult) -> Path:
    """The folder that records are kept below, as far as the record's place tells it."""
    record = run.record
    folder = run.path.resolve()
    root = folder.parents[min(4, len(folder.parents) - 1)]
    below = record_folder(
        *(root, record.task, record.dataset, record.model, record.hash, record.seed)
    )
    return root if below == folder else folder.parent


def _weights(run: RunResult, checkpoint: Path | None) -> Path:
    """The file of a run's weights, checked.

    Raises: MMBenchError if it is not there, or is another.
    """
    record = run.record
    expected = record.weights.sha256 or record.files.get(WEIGHTS_FILE)
    if checkpoint is not None:
        path = checkpoint
    elif record.weights.source == "trained":
        path = run.path / WEIGHTS_FILE
    elif record.weights.source == "shipped":
        path = shipped_weights(record.task, record.dataset, record.model)
    else:
        path = run.path / (record.weights.file or WEIGHTS_FILE)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MMBenchError(
            f"the weights of {record.model}, seed {record.seed}, are not at {path} "
            f"({error.strerror}): run it again with --force, or name them with --checkpoint"
        ) from None
    if hashlib.sha256(content).hexdigest() != expected:
        raise MMBenchError(
            f"{path} does not hold the weights that {run.path} is of: its hash is another. "
            "Run it again with --force, or name the right ones with --checkpoint"
        )
    return path


def _ask(
    run: RunResult,
    weights: Path,
    file: RobustnessFile,
    conditions: Sequence[Condition],
    settings: Settings,
) -> list[str]:
    """Ask the model under the conditions that a file lacks, and write it after each.

    Returns: in words, what cannot be asked of these samples or this model.
    """
    from mmbench.experiments.asked_again import Asked
    from mmbench.experiments.train import restored_model
    from mmbench.training.device import choose_device, device_name

    record, watch = run.record, settings.watch
    task: Task = registry.load("tasks", record.task)()
    device = choose_device(settings.device)
    lacking = _lacking(file, conditions)
    title = f"{record.model} seed {record.seed} under damage"
    done = 0
    try:
        with (
            reporting_to(watch.read),
            computing_on(str(device)),
            exact_float32(),
            with_threads(settings.threads),
        ):
            samples = samples_asked(
                record, task, settings.data_dir, settings.read, settings.dataset
            )
            recipe = validate(Recipe, record.recipe, "recipe")
            model = restored_model(task, recipe, weights, device)
            metric = load_metrics([record.primary.name])[0]
            asked = Asked(
                task,
                model,
                device,
                samples,
                metric,
                modalities_of(record),
                draws=settings.draws,
                batch=settings.batch_size,
            )
            where = environment(str(device), device_name(device))
            impossible = dict.fromkeys(filter(None, map(asked.impossible, lacking)))
            possible = [c for c in lacking if asked.impossible(c) is None]
            for done, condition in enumerate(possible):
                watch.read(title, done, len(possible))
                statistics, replicates, value = asked.under(condition)
                entry = ConditionEntry(**vars(condition), value=value)
                file.add(condition.key, entry, statistics, replicates, where)
                file.write(run.path)
            watch.read(title, len(possible), len(possible))
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; {done} of {len(lacking)} conditions of {record.model} are kept: the same "
            "command goes on after them"
        ) from None
    finally:
        watch.done()
    return list(impossible)

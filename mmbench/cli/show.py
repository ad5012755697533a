"""What `mmbench show` prints: what a name stands for."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench import registry
from mmbench.cli import fusions
from mmbench.cli.listing import LISTED
from mmbench.cli.shown_lines import lines, plain
from mmbench.direct_names import is_direct, kind_of_class
from mmbench.errors import MMBenchError, did_you_mean
from mmbench.reports.escape import one_line
from mmbench.reports.run import record_text

if TYPE_CHECKING:
    from mmbench.data.dataset import DatasetSpec

TRAIN = "train"  # shown: the settings of training


def show_text(
    name: str,
    task: str | None = None,
    dataset: str | None = None,
    width: int | None = None,
    data_dir: Path | None = None,
) -> str:
    """What a task, dataset, recipe, part, metric or record is; of `train`, its settings.

    Where several kinds of things have the name, as the recipe and the objective `simclr`, each is
    shown, the first one with what else is asked for.

    Args:
        name: a registered name, the path of a recipe or of a dataset's file, a record's folder, or
            "train".
        task: that a recipe or dataset is shown for.
        dataset: that a recipe is shown for.
        width: that a fusion's cost is told at.
        data_dir: the folder of the dataset's files.
    Raises: MMBenchError naming the nearest name if there is nothing called so, or if it is not
        shown for a task, dataset or width.
    """
    from mmbench.records.store import recover

    if task is not None:
        registry.check("tasks", task)
    recover(Path(name))
    if (Path(name) / "run.json").is_file() or Path(name).name == "run.json":
        _shown_for("a record", task=task, dataset=dataset, width=width, data_dir=data_dir)
        return _record(Path(name))
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise MMBenchError(f"there is no file {name}")
        if _is_dataset(name):
            _shown_for("a dataset", dataset=dataset, width=width)
            return _dataset(name, task, data_dir)
        return _model(name, task, dataset, width, data_dir)
    written_as = kind_of_class(name)
    kinds = sorted(LISTED.values(), key=lambda kind: kind != written_as)
    found = [kind for kind in kinds if registry.has(kind, name)]
    if found:
        first, *others = [found[0]] if is_direct(found[0], name) else found
        texts = [_registered(first, name, task, dataset, width, data_dir)]
        return "\n\n".join(texts + [_registered(kind, name) for kind in others])
    if name == TRAIN:
        from mmbench.cli import training_settings

        _shown_for("training", task=task, dataset=dataset, width=width)
        return training_settings.text()
    known = sorted({TRAIN} | {n for kind in LISTED.values() for n in registry.names(kind)})
    raise MMBenchError(
        f"nothing is called '{name}'.{did_you_mean(name, known)} "
        f"`mmbench list {'|'.join(LISTED)}` shows what there is."
    )


def _registered(
    kind: str,
    name: str,
    task: str | None = None,
    dataset: str | None = None,
    width: int | None = None,
    data_dir: Path | None = None,
) -> str:
    """What is registered under a name, as one kind of thing."""
    if kind == "recipes":
        return _model(name, task, dataset, width, data_dir)
    if kind == "datasets":
        _shown_for("a dataset", dataset=dataset, width=width)
        return _dataset(name, task, data_dir)
    what = f"a {registry.singular(kind)}"
    _shown_for(what, task=task, dataset=dataset, data_dir=data_dir)
    if kind in fusions.KINDS:
        return _fusion(kind, name, width)
    _shown_for(what, width=width)
    return _task(name) if kind == "tasks" else _part(kind, name)


def _model(
    name: str, task: str | None, dataset: str | None, width: int | None, data_dir: Path | None
) -> str:
    from mmbench.cli.show_model import model_text  # with what recipes are made of

    _shown_for("a model", width=width)
    return model_text(name, task, dataset, data_dir)


def _is_dataset(name: str) -> bool:
    """Whether a YAML file is a dataset's, and not a recipe's."""
    from mmbench.yaml_file import read_yaml

    return "splits" in read_yaml(registry.path("recipes", name))


def _shown_for(what: str, **options: str | int | Path | None) -> None:
    """Refuse options that say nothing about what is shown."""
    for option, value in options.items():
        if value is not None:
            written = option.replace("_", "-")
            raise MMBenchError(f"{what} is not shown for a {written}: drop --{written} {value}")


def _task(name: str) -> str:
    from mmbench.data.dataset import tasks_of

    task = registry.load("tasks", name)
    datasets = [dataset for dataset in registry.names("datasets") if name in tasks_of(dataset)]
    default: DatasetSpec = task().dataset()
    return lines(
        f"task {name}",
        registry.summary("tasks", name),
        {
            "inputs": ", ".join(task.inputs),
            "metrics": ", ".join(task().metrics_on(default)),
            "datasets": ", ".join(datasets),
            "default": f"{default.name}, split {default.evaluate_on}",
            "encoders": ", ".join(f"{k}: {plain(v)}" for k, v in task.encoders.items()),
            "decoder": plain(task.decoder),
        },
    )


def _dataset(name: str, task: str | None, data_dir: Path | None) -> str:
    from mmbench.cli.data import origin
    from mmbench.data.dataset import load_spec, tasks_of

    spec = load_spec(name, task or tasks_of(name)[0])
    spec = spec.model_copy(update={"data_dir": data_dir or spec.data_dir})
    splits, categories = _splits(spec)
    return lines(
        f"dataset {name}",
        spec.summary,
        {
            "task": ", ".join(tasks_of(name)),
            "media": ", ".join(spec.modalities),
            "licence": spec.licence,
            "homepage": spec.homepage,
            "from": origin(spec) + (f" ({spec.hub.path})" if spec.hub else ""),
            "download": spec.download,
            "folder": spec.folder.strip().splitlines(),
            "splits": splits,
            "evaluates": spec.evaluate_on,
            "categories": ", ".join(categories),
            "prompt": _prompt(spec),
            "citation": spec.citation.strip().splitlines(),
        },
    )


def _prompt(spec: DatasetSpec) -> list[str]:
    """How models from elsewhere are asked about it, and how their answers are read."""
    prompt = spec.prompt or registry.load("tasks", spec.task)().prompt
    return [*prompt.text.split("\n"), f"(read as: {prompt.reads})"] if prompt else []


def _splits(spec: DatasetSpec) -> tuple[list[str], list[str]]:
    """A line a split: what is in it, where it is here; otherwise what should be. And categories."""
    from mmbench.data.splits import is_at_hand

    if not is_at_hand(spec):
        held = {
            name: f"{s.hold_out:.1%} of {s.of}" for name, s in spec.splits.items() if s.hold_out
        }
        counts = {name: f"{s.samples:,} samples" for name, s in spec.splits.items() if s.samples}
        lines = [f"{name}: {(counts | held).get(name, 'any number')}" for name in spec.splits]
        return lines, list(spec.categories)
    task = registry.load("tasks", spec.task)()
    lines = []
    categories = dict.fromkeys(spec.categories)
    for split in spec.splits:
        samples = task.load(spec, split)
        groups = len({sample.group for sample in samples})
        about = f"{split}: {len(samples):,} {task.unit}, {groups:,} groups"
        lines.append(f"{about}, fingerprint {samples.fingerprint}")
        categories |= dict.fromkeys(s.category for s in samples if s.category is not None)
    return lines, list(categories)


def _fusion(kind: str, name: str, width: int | None) -> str:
    facts, rows = fusions.show_rows(kind, name, width)
    rows["defined in"] = ".".join(registry.location(kind, name))
    head = lines(f"{registry.singular(kind)} {name}", facts.title, rows)
    return f"{head}\n\n{_indented(facts.notes)}" if facts.notes else head


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _part(kind: str, name: str) -> str:
    found = registry.load(kind, name)
    rows: dict[str, Any] = {}
    if kind == "metrics":
        metric = found()
        found = type(metric)
        low, high = metric.bounds
        rows = {
            "range": f"{low:g} to {high:g}, {'higher' if metric.higher_is_better else 'lower'} "
            f"is better; tables show it x{metric.scale:g}",
            "source": metric.source,
            "signature": metric.signature,
        }
    text = inspect.getdoc(found) or ""
    module = inspect.getmodule(found)
    if kind != "metrics" and module is not None:
        text = f"{inspect.getdoc(module)}\n\n{text}"
    rows = {"defined in": f"{found.__module__}.{found.__qualname__}"} | rows
    return f"{lines(f'{registry.singular(kind)} {name}', '', rows)}\n\n{_indented(text)}"


def _record(path: Path) -> str:
    from mmbench.records.verification import verified

    folder = path.parent if path.is_file() else path
    return record_text(verified(folder), folder)


def difference_text(ours: Path, other: Path) -> str:
    """How two records differ: what decided their predictions, where they ran, and their values.

    Raises: MMBenchError if either is not a whole record.
    """
    from mmbench.experiments.conditions import footnotes
    from mmbench.records.identity import differences
    from mmbench.records.verification import verified

    records = [verified(p.parent if p.is_file() else p) for p in (ours, other)]
    a, b = records
    lines = [one_line(f"{ours} against {other}")]
    lines += [f"  {one_line(line)}" for line in differences(a.identity, b.identity)]
    if a.seed != b.seed:
        lines.append(f"  seed: {a.seed}, not {b.seed}")
    lines += [f"  {one_line(note)}" for note in footnotes(records)]
    theirs = {(e.signature, e.category): e for e in b.metrics}
    for entry in a.metrics:
        same = theirs.get((entry.signature, entry.category))
        if same is not None and same.value != entry.value:
            name = one_line(entry.name + (f" of {entry.category}" if entry.category else ""))
            values = (f"{e.value * e.scale:.2f}" for e in (entry, same))
            lines.append(f"  {name}: {', not '.join(values)}")
    return "\n".join(lines) if len(lines) > 1 else f"{lines[0]}\n  no difference"

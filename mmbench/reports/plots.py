"""What `.plot()` of a result draws, on axes of matplotlib that are given back to be changed.

Figures for papers are a report's; these are to look at, in a notebook or by `pyplot.show()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.compare import Comparison
from mmbench.experiments.profiling import Profile
from mmbench.experiments.result import RunResult
from mmbench.experiments.robustness import RobustnessComparison
from mmbench.experiments.study import StudyResult
from mmbench.records.store import LOG_FILE
from mmbench.reports.cells import cell_of
from mmbench.reports.costs import DRAWN
from mmbench.reports.escape import one_line
from mmbench.reports.figures.drawing import (
    Dot,
    dot_of,
    draw_costs,
    draw_intervals,
    draw_training,
)
from mmbench.reports.figures.robustness import draw_damage
from mmbench.reports.figures.style import COLOURS, DARK, GREY, series
from mmbench.reports.figures.training import training_log, validation_words
from mmbench.reports.pareto import pareto
from mmbench.reports.robustness import damage_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST = 36  # letters of a name


def plot(result: Any, axes: Axes | None = None, **options: Any) -> Axes:
    """Draw a result.

    Args:
        result: a comparison, run, profile or robustness.
        axes: to draw on; new ones if None.
        options: of the function that draws it.
    Raises: MMBenchError for an option that it does not have, or a result that has nothing to draw.
    """
    draw: Any = next((draw for kind, draw in _PLOTS.items() if isinstance(result, kind)), None)
    if draw is None:
        raise MMBenchError(f"a {type(result).__name__} has nothing to draw")
    known = [name for name in draw.__annotations__ if name not in ("axes", "return")][1:]
    for name in options:
        if name not in known:
            raise MMBenchError(
                f"plot has no option '{name}' of a {type(result).__name__}."
                f"{did_you_mean(name, known)} It has {', '.join(known) or 'none'}."
            )
    made: Axes = draw(result, axes, **options)
    return made


def plot_comparison(
    comparison: Comparison,
    axes: Axes | None = None,
    cost: str | None = None,
    seen: bool = False,
) -> Axes:
    """A dot a model with its interval, best first, and a stroke a seed; or quality by cost.

    Args:
        cost: of `mmbench.reports.costs.DRAWN`: draws quality by it, filled where no other model
            beats a model in both.
        seen: see `mmbench.reports.pareto.pareto`.
    """
    if cost is not None:
        return _plot_pareto(comparison, axes, cost, seen)
    scale, shown = comparison.metric.scale, comparison.estimates
    axes = axes or _new_axes(0.9 + 0.3 * len(shown))
    names = [f"{_name(m.model)}  {comparison.letters(m.model)}".rstrip() for m in shown]
    draw_intervals(axes, names, [dot_of(cell_of(found, scale)) for found in shown])
    record = next(iter(comparison.runs.values()))[0].record
    axes.set_xlabel(_name(comparison.metric.name), parse_math=False)
    axes.set_title(_name(f"{record.task}/{record.dataset}, {record.split}"), parse_math=False)
    return axes


def plot_study(result: StudyResult, axes: Axes | None = None, table: int = 0) -> Axes:
    """One of its tables, as `plot_comparison` draws it.

    Args:
        table: its place among the tables.
    Raises: MMBenchError if there are not so many.
    """
    if not 0 <= table < len(result.tables):
        raise MMBenchError(f"no table {table}: there are {len(result.tables)}, from 0 on")
    return plot_comparison(result.tables[table], axes)


def _plot_pareto(comparison: Comparison, axes: Axes | None, cost: str, seen: bool) -> Axes:
    points = pareto(comparison, cost, seen)
    scale = comparison.metric.scale
    axes = axes or _new_axes(3.6)
    looks = [{**series(place), "label": _name(point.model)} for place, point in enumerate(points)]
    dots = [
        Dot(
            p.quality * scale,
            None if p.low is None else p.low * scale,
            None if p.high is None else p.high * scale,
            filled=p.on_front,
        )
        for p in points
    ]
    draw_costs(
        *(axes, [point.cost for point in points], dots, looks),
        line=not seen,  # of models that cannot be told apart, dearer ones may be a little better
        higher_is_better=comparison.metric.higher_is_better,
    )
    axes.set_xlabel(DRAWN[cost].axis)
    axes.set_ylabel(_name(comparison.metric.name), parse_math=False)
    _legend_beside(axes)
    axes.set_title(
        "filled: seen to be better than each cheaper one"
        if seen
        else "filled: no other is as good for as little"
    )
    return axes


def _legend_beside(axes: Axes) -> None:
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def plot_run(run: RunResult, axes: Axes | None = None, kind: str | None = None) -> Axes:
    """The primary metric by category, with intervals; or the course of the training.

    Args:
        kind: "categories" or "training"; None for categories where there are any.
    Raises: MMBenchError if the run has none.
    """
    known = ("categories", "training")
    if kind is not None and kind not in known:
        raise MMBenchError(
            f"no kind '{kind}'.{did_you_mean(kind, known)} There is {', '.join(known)}."
        )
    primary = run.record.primary
    entries = [e for e in run.record.metrics if e.signature == primary.signature]
    if kind == "categories" and len(entries) == 1:
        raise MMBenchError(f"{run.path} has no values by category")
    if kind == "training" or (kind is None and len(entries) == 1 and _has_log(run)):
        return _plot_training(run, axes)
    axes = axes or _new_axes(0.9 + 0.3 * len(entries))
    dots = [
        Dot(
            e.value * e.scale,
            e.interval.low * e.scale if e.interval else None,
            e.interval.high * e.scale if e.interval else None,
            filled=not e.category,
        )
        for e in entries
    ]
    names = [f"{_name(e.category or 'all')} (n = {e.samples:,})" for e in entries]
    draw_intervals(axes, names, dots)
    axes.set_xlabel(_name(primary.name), parse_math=False)
    axes.set_title(_title(run), parse_math=False)
    return axes


def _has_log(run: RunResult) -> bool:
    return LOG_FILE in run.record.files and (run.path / LOG_FILE).is_file()


def _plot_training(run: RunResult, axes: Axes | None) -> Axes:
    """The loss of training and the score on validation, epoch after epoch."""
    if not _has_log(run):
        raise MMBenchError(f"{run.path} has no training to draw: its weights were there before")
    log = training_log(run)
    scale, what = validation_words(run.record, run.record.primary)
    axes = axes or _new_axes(3.2)
    other = axes.twinx()
    sides = ((axes, log.loss, "Loss in training"), (other, log.validation * scale, what))
    for number, (side, values, label) in enumerate(sides):
        draw_training(side, values[None], series(number), label)
        side.set_ylabel(label, color=COLOURS[number], parse_math=False)
    axes.set_xlabel("Epoch")
    if (training := run.record.training) is not None:
        axes.axvline(training.best_epoch, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_title(_title(run), parse_math=False)
    return axes


def plot_robustness(
    found: RobustnessComparison,
    axes: Axes | None = None,
    corruption: str | None = None,
    modality: str | None = None,
) -> Axes:
    """A line a model, with its intervals, as one kind of damage grows.

    Args:
        corruption, modality: of the damage; the first that fits if None.
    Raises: MMBenchError if no model was asked under it.
    """
    fitting = [
        damage
        for damage in found.damages
        if corruption in (None, damage[0]) and modality in (None, damage[1])
    ]
    if not fitting:
        known = ", ".join(f"{c} of {m}" for c, m in found.damages)
        raise MMBenchError(f"no model was asked under that. There is {known or 'nothing'}.")
    axes = axes or _new_axes(3.6)
    draw_damage(axes, found, fitting[0], [_name(model) for model in found.models])
    axes.set_xlabel("Severity of the damage")
    axes.set_ylabel(_name(found.metric.name), parse_math=False)
    axes.set_title(damage_title(*fitting[0]), parse_math=False)
    _legend_beside(axes)
    return axes


def plot_profile(profile: Profile, axes: Axes | None = None, kind: str = "parts") -> Axes:
    """Each part's share of parameters, operations and time; or throughput by batch.

    Args:
        kind: "parts" or "batches".
    """
    if kind not in ("parts", "batches"):
        raise MMBenchError(f"no kind '{kind}'. There is parts, batches.")
    title = _name(f"{profile.model} on {profile.task}/{profile.dataset}")
    if kind == "batches":
        axes = axes or _new_axes(3.2)
        sizes = [found.batch for found in profile.batches]
        speeds = [found.samples_per_second for found in profile.batches]
        axes.plot(sizes, speeds, "o-", color=DARK)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_ylim(0)
        axes.grid(axis="y", color="0.9")
        axes.set_xlabel("media a batch")
        axes.set_ylabel("samples a second")
        axes.set_title(title, parse_math=False)
        return axes
    total = profile.total
    of_all = max(1, total.trained + total.frozen)
    shares = {
        "parameters": {p.part: (p.trained + p.frozen) / of_all for p in profile.parts},
        "operations": {p.part: p.operations / (total.operations or 1) for p in profile.parts},
        "answering": {p.part: p.answer_seconds / total.answer_seconds for p in profile.parts},
        "training step": {
            p.part: (p.forward_seconds + p.backward_seconds)
            / (total.forward_seconds + total.backward_seconds)
            for p in profile.parts
        },
    }
    axes = axes or _new_axes(2.6)
    from matplotlib import colormaps

    shades = colormaps["cividis"]
    left = dict.fromkeys(shares, 0.0)
    for place, part in enumerate(profile.parts):
        widths = [100 * of[part.part] for of in shares.values()]
        starts = list(left.values())
        shade = shades(place / max(1, len(profile.parts) - 1))
        axes.barh(
            list(shares), widths, left=starts, color=shade, label=_name(part.part), edgecolor="w"
        )
        left = {name: left[name] + width for name, width in zip(shares, widths, strict=True)}
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share (%)")
    _legend_beside(axes)
    axes.set_title(title, parse_math=False)
    return axes


_PLOTS = {
    Comparison: plot_comparison,
    StudyResult: plot_study,
    RunResult: plot_run,
    Profile: plot_profile,
    RobustnessComparison: plot_robustness,
}


def _title(run: RunResult) -> str:
    record = run.record
    return _name(f"{record.model} on {record.task}/{record.dataset}, seed {record.seed}", 60)


def _name(text: str, most: int = _LONGEST) -> str:
    """A name as it may stand in a figure."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _new_axes(height: float, width: float = 6.4) -> Axes:
    """Of a figure of this size in inches, laid out so that nothing is cut off.

    By pyplot, so that a notebook shows the figure and `show()` finds it.
    """
    from matplotlib import pyplot

    _, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    return axes

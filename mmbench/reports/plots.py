"""What `.plot()` of a result draws, on axes of matplotlib that are given back to be changed.

Figures for papers are a report's; these are to look at, in a notebook or by `pyplot.show()`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mmbench.errors import MMBenchError, did_you_mean
from mmbench.experiments.compare import Comparison
from mmbench.experiments.profiling import Profile
from mmbench.experiments.result import RunResult
from mmbench.records.store import LOG_FILE
from mmbench.reports.counts import count
from mmbench.reports.escape import one_line
from mmbench.reports.pareto import COSTS, pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DARK, _GREY = "#1a1a1a", "#8c8c8c"
# Okabe and Ito's without the yellow, dark and light in turn: neighbours differ in grey, too.
_COLOURS = ("#0072b2", "#e69f00", "#000000", "#56b4e9", "#009e73", "#cc79a7", "#d55e00")
_MARKERS = "osD^vPX*"  # not as many as colours: no two of the first 56 models are alike
_LONGEST = 36  # letters of a name
_FAR = 4  # how much dearer the dearest is than the cheapest where the axis is logarithmic


def plot(result: Any, axes: Axes | None = None, **options: Any) -> Axes:
    """Draw a result.

    Args:
        result: a comparison, run or profile.
        axes: to draw on; new ones if None.
        options: of the function that draws it.
    Raises: MMBenchError for an option that it does not have.
    """
    draw: Any = next(draw for kind, draw in _PLOTS.items() if isinstance(result, kind))
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
        cost: of `mmbench.reports.pareto.COSTS`: draws quality by it, filled where no other model
            beats a model in both.
        seen: see `mmbench.reports.pareto.pareto`.
    """
    if cost is not None:
        return _plot_pareto(comparison, axes, cost, seen)
    scale, shown = comparison.metric.scale, comparison.estimates
    axes = axes or _new_axes(0.9 + 0.3 * len(shown))
    for place, found in enumerate(shown):
        values = [run.value * scale for run in comparison.runs[found.model]]
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "|", color=_GREY, markersize=9, zorder=1)
        if found.interval is not None:
            ends = [found.interval.low * scale, found.interval.high * scale]
            axes.plot(ends, [place, place], color=_DARK, linewidth=1.4)
        axes.plot([found.mean * scale], [place], "o", color=_DARK)
    names = [f"{_name(m.model)}  {comparison.letters(m.model)}".rstrip() for m in shown]
    axes.set_yticks(range(len(shown)), names, parse_math=False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    record = next(iter(comparison.runs.values()))[0].record
    axes.set_xlabel(_name(comparison.metric.name), parse_math=False)
    axes.set_title(_name(f"{record.task}/{record.dataset}, {record.split}"), parse_math=False)
    return axes


def _plot_pareto(comparison: Comparison, axes: Axes | None, cost: str, seen: bool) -> Axes:
    from matplotlib.ticker import LogLocator, NullLocator

    points = pareto(comparison, cost, seen)
    scale = comparison.metric.scale
    axes = axes or _new_axes(3.6)
    for place, point in enumerate(points):
        colour = _COLOURS[place % len(_COLOURS)]
        if point.low is not None and point.high is not None:
            ends = [point.low * scale, point.high * scale]
            axes.plot([point.cost] * 2, ends, color=colour, linewidth=1, zorder=1)
        axes.plot(
            [point.cost],
            [point.quality * scale],
            _MARKERS[place % len(_MARKERS)],
            color=colour,
            markerfacecolor=colour if point.on_front else "white",
            label=_name(point.model),
        )
    front = [point for point in points if point.on_front]
    if not seen:  # of models that cannot be told apart, dearer ones may be a little better
        xs, ys = [point.cost for point in front], [point.quality * scale for point in front]
        axes.step(xs, ys, where="post", color=_DARK, linewidth=0.8, linestyle="--", zorder=0)
    least, most = points[0].cost, points[-1].cost
    if 0 < _FAR * least < most:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5), numticks=8))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: count(value) if value >= 1e3 else f"{value:g}")
    axes.margins(x=0.1, y=0.1)
    axes.set_xlabel(COSTS[cost][0])
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
    for place, entry in enumerate(entries):
        if entry.interval is not None:
            ends = [entry.interval.low * entry.scale, entry.interval.high * entry.scale]
            axes.plot(ends, [place, place], color=_DARK, linewidth=1.4)
        face = "white" if entry.category else _DARK
        value = entry.value * entry.scale
        axes.plot([value], [place], "o", color=_DARK, markerfacecolor=face)
    names = [f"{_name(e.category or 'all')} (n = {e.samples:,})" for e in entries]
    axes.set_yticks(range(len(entries)), names, parse_math=False)
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel(_name(primary.name), parse_math=False)
    axes.set_title(_title(run), parse_math=False)
    return axes


def _has_log(run: RunResult) -> bool:
    return (run.path / LOG_FILE).is_file()


def _plot_training(run: RunResult, axes: Axes | None) -> Axes:
    """The loss of training and the score on validation, epoch after epoch."""
    if not _has_log(run):
        raise MMBenchError(f"{run.path} has no training to draw: its weights were there before")
    from matplotlib.ticker import MaxNLocator

    lines = (run.path / LOG_FILE).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    epochs = range(1, len(entries) + 1)
    axes = axes or _new_axes(3.2)
    axes.plot(epochs, [entry["loss"] for entry in entries], color=_COLOURS[0], label="loss")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss in training", color=_COLOURS[0])
    other = axes.twinx()
    scores = [entry["validation"] for entry in entries]
    other.plot(epochs, scores, color=_COLOURS[1], linestyle="--", label="validation")
    other.set_ylabel("score on validation", color=_COLOURS[1])
    if (training := run.record.training) is not None:
        axes.axvline(training.best_epoch, color=_GREY, linewidth=0.8, linestyle=":")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(_title(run), parse_math=False)
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
        axes.plot(sizes, speeds, "o-", color=_DARK)
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


_PLOTS = {Comparison: plot_comparison, RunResult: plot_run, Profile: plot_profile}


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

"""Results as Python and a notebook show them."""

import dataclasses
from html.parser import HTMLParser

import matplotlib
import pytest
from matplotlib.axes import Axes

import mmbench
from mmbench.errors import MMBenchError
from mmbench.experiments.batch_search import BatchCost
from mmbench.experiments.compare import compare_runs
from mmbench.experiments.profiling import PartCost, Profile
from mmbench.reports.layouts import LAYOUTS
from mmbench.reports.layouts.options import Options
from mmbench.reports.pareto import pareto
from mmbench.reports.report import Report
from mmbench.reports.table import make_tables

HOSTILE = "<b>a&b</b>\n$x_1$"


@pytest.fixture(autouse=True)
def _no_windows():
    matplotlib.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture(scope="module")
def settings(mini_folder, tmp_path_factory):
    """What all runs here have in common."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mini_folder))
        yield {
            "dataset": str(mini_folder / "mini.yaml"),
            "out": tmp_path_factory.mktemp("notebook"),
            "overrides": {"train.epochs": 2},
            "limit": 60,
            "device": "cpu",
        }


@pytest.fixture(scope="module")
def runs(settings):
    return {
        model: [mmbench.run("vqa", model, seed=seed, train=True, **settings) for seed in range(2)]
        for model in ("question_only", "concat_fusion")
    }


@pytest.fixture(scope="module")
def study(settings, runs):
    """A study of those runs, which have records."""
    models = list(runs)
    asked = mmbench.make_study(task="vqa", models=models, seeds=2, references=False, **settings)
    return mmbench.run_study(asked)


@pytest.fixture(scope="module")
def comparison(runs):
    return compare_runs(runs)


@pytest.fixture(scope="module")
def hostile(runs):
    """A comparison in which a name would act in HTML and in a formula."""

    def renamed(run):
        return dataclasses.replace(run, record=run.record.model_copy(update={"model": HOSTILE}))

    first, *others = runs
    return compare_runs(
        {HOSTILE: [renamed(run) for run in runs[first]], **{name: runs[name] for name in others}}
    )


@pytest.fixture(scope="module")
def profiled():
    cost = BatchCost(1, 3, 0.5, 100.0, None)
    return Profile(
        *("vqa", "mini", "test", HOSTILE, "fresh", "cpu", "a CPU", 2),
        parts=[
            PartCost("fusion", 10, 0, 20.0, 0.1, 0.1, 0.1),
            PartCost("decoder", 5, 7, 40.0, 0.1, 0.1, 0.3),
        ],
        flops_per_sample=60,
        batch=4,
        samples=12,
        latency_p50=0.1,
        latency_p95=0.2,
        batches=[cost, dataclasses.replace(cost, batch=2, samples=6)],
        stopped="all samples are in it",
        peak_memory_mb=100.0,
        peak_gpu_memory_mb=None,
    )


class Tags(HTMLParser):
    """The tags of a text, which are all closed, and the words between them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], set(), []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_print_gives_the_table_and_repr_one_short_line(comparison, runs, profiled):
    for result in (comparison, runs["concat_fusion"][0], profiled):
        assert len(str(result).splitlines()) > 3
        assert "\n" not in repr(result)
        assert len(repr(result)) < 150
    assert "concat_fusion" in str(comparison)
    assert "letters" in str(comparison)


def test_html_holds_the_table_and_no_name_acts(hostile, profiled):
    renamed = hostile.runs[HOSTILE][0]
    for result in (hostile, renamed, profiled):
        tags = Tags(result._repr_html_())
        assert tags.seen <= {"div", "p", "b", "table", "tr", "th", "td", "details", "summary"}
        assert any("<b>a&b</b>\\n$x_1$" in words for words in tags.words)
        assert "<b>a&" not in result._repr_html_()
    assert "concat_fusion" in hostile._repr_html_()


def test_a_study_shows_its_tables_and_what_holds_over_them(study, comparison):
    assert str(study).startswith(str(comparison).splitlines()[0])
    assert repr(study) == "<StudyResult of 4 runs on vqa/mini>"
    shown = study._repr_html_()
    assert "concat_fusion" in shown
    Tags(shown)
    twice = dataclasses.replace(study, tables=study.tables * 2)
    assert twice._repr_html_().count("<b>vqa/mini") == 2
    assert "over all tables" in twice._repr_html_()
    frame = study.to_frame()
    assert list(frame["model"]) == [e.model for e in comparison.estimates]
    assert set(frame["dataset"]) == {"vqa/mini"}
    assert set(frame["metric"]) == {"accuracy"}


def test_a_study_draws_one_of_its_tables(study):
    labels = [label.get_text() for label in study.plot(table=0).get_yticklabels()]
    assert len(labels) == 2
    with pytest.raises(MMBenchError, match="no table 1"):
        study.plot(table=1)


@pytest.mark.filterwarnings("ignore:no diagram")
def test_a_report_is_its_text_and_shows_its_tables(runs, tmp_path):
    paths = [run.path for run in runs["concat_fusion"] + runs["question_only"]]
    for format in ("markdown", "latex", "csv"):
        made = mmbench.report(paths, format, figures=tmp_path / "figures")
        assert str(made) == made.text == made
        assert type(str(made)) is str
        assert "\n" not in repr(made)
        tags = Tags(made._repr_html_().replace(' max-width: 100%">', ' max-width: 100%"></img>'))
        assert {"table", "img"} <= tags.seen
        assert any(words.startswith("Concatenation") for words in tags.words)
    with pytest.raises(MMBenchError, match="nothing to draw"):
        made.plot()
    renamed = [
        dataclasses.replace(run, record=run.record.model_copy(update={"model": HOSTILE}))
        for run in runs["concat_fusion"]
    ]
    [table] = make_tables(renamed)
    shown = Report("text", sheets=LAYOUTS["main"]([table], Options()))._repr_html_()
    assert "<b>a&" not in shown
    assert any("<b>a&b</b>" in words for words in Tags(shown).words)


@pytest.mark.filterwarnings("ignore:.*without media")
def test_a_page_is_kept_apart_from_the_notebooks_own(runs):
    page = mmbench.report(runs["concat_fusion"][0].path, "html")
    shown = page._repr_html_()
    assert shown.startswith("<iframe ")
    assert shown.count("<") == 2  # of the frame; the page's own are escaped
    assert Tags(shown).seen == {"iframe"}


def test_a_comparison_draws_a_dot_a_model_and_gives_its_axes(comparison, hostile):
    axes = comparison.plot()
    assert isinstance(axes, Axes)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert [name.split()[0] for name in names] == [e.model for e in comparison.estimates]
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert drawn == [100 * e.mean for e in comparison.estimates]
    for axes in (hostile.plot(), hostile.plot(cost="operations")):
        axes.figure.canvas.draw()  # a name with dollars is no formula


def test_a_plot_goes_where_it_is_told(comparison):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert comparison.plot(axes) is axes
    assert comparison.plot(axes, cost="training_seconds") is axes


def test_a_run_draws_its_categories_or_its_training(runs):
    run = runs["concat_fusion"][0]
    labels = [label.get_text() for label in run.plot().get_yticklabels()]
    assert labels[0].startswith("all (n = 60")
    assert any(label.startswith("yes/no") for label in labels)
    curve = run.plot(kind="training")
    assert len(curve.lines[0].get_xdata()) == 2
    assert len(run.to_frame()) == len(labels)


def test_a_profile_draws_shares_and_batches(profiled):
    shares = profiled.plot()
    assert sum(bar.get_width() for bar in shares.patches) == pytest.approx(400)
    assert list(profiled.plot(kind="batches").lines[0].get_ydata()) == [6.0, 12.0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cost": "operation"}, "Did you mean operations"),
        ({"colour": "red"}, "no option 'colour'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(comparison, options, says):
    with pytest.raises(MMBenchError, match=says):
        comparison.plot(**options)


def test_a_run_without_a_log_says_so(runs, tmp_path):
    run = dataclasses.replace(runs["concat_fusion"][0], path=tmp_path)
    with pytest.raises(MMBenchError, match="no training to draw"):
        run.plot(kind="training")
    with pytest.raises(MMBenchError, match="There is categories, training"):
        run.plot(kind="trainin")


def made(comparison, numbers, different):
    """A comparison whose models have these (cost, quality), and differ so."""
    template = next(iter(comparison.runs.values()))[0]
    estimate, pair = comparison.estimates[0], comparison.family.pairs[0]
    runs, estimates = {}, []
    for model, (cost, quality) in numbers.items():
        record = template.record.model_copy(update={"flops_per_sample": cost, "model": model})
        runs[model] = [dataclasses.replace(template, record=record)]
        estimates.append(dataclasses.replace(estimate, model=model, mean=quality))
    names = list(numbers)
    pairs = tuple(
        dataclasses.replace(
            pair,
            difference=dataclasses.replace(pair.difference, a=a, b=b),
            different={a, b} in different,
        )
        for place, a in enumerate(names)
        for b in names[place + 1 :]
    )
    family = dataclasses.replace(comparison.family, estimates=tuple(estimates), pairs=pairs)
    return dataclasses.replace(comparison, runs=runs, family=family)


def test_the_front_is_of_models_that_no_other_beats_in_both(comparison):
    numbers = {"a": (1, 0.5), "b": (2, 0.4), "c": (2, 0.7), "d": (3, 0.7), "e": (9, 0.9)}
    points = {p.model: p for p in pareto(made(comparison, numbers, []))}
    assert [model for model, point in points.items() if point.on_front] == ["a", "c", "e"]
    assert points["b"].beaten_by == ("a", "c")
    assert points["d"].beaten_by == ("c",)
    assert [p.cost for p in points.values()] == sorted(cost for cost, _ in numbers.values())


def test_a_dearer_model_that_was_not_seen_to_be_better_is_beaten(comparison):
    numbers = {"a": (1, 0.5), "b": (2, 0.6), "c": (3, 0.9)}
    found = made(comparison, numbers, [{"a", "c"}, {"b", "c"}])
    assert [p.on_front for p in pareto(found)] == [True, True, True]
    assert [p.beaten_by for p in pareto(found, seen=True)] == [(), ("a",), ()]


def test_a_front_needs_costs_and_all_tests(comparison, runs):
    with pytest.raises(MMBenchError, match="fewer than two"):
        pareto(made(comparison, {"a": (None, 0.5), "b": (2, 0.6)}, []))
    against = compare_runs(runs, baseline="concat_fusion")
    with pytest.raises(MMBenchError, match="against a baseline"):
        pareto(against, seen=True)


def test_a_frame_has_cost_beside_quality(comparison):
    frame = comparison.to_frame().set_index("model")
    for column in ("parameters", "flops_per_sample", "training_seconds", "latency_p50"):
        assert (frame[column] > 0).all()
    assert frame["samples_per_second"].notna().all()

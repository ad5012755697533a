"""Commands that run models: `run`, `compare`, `profile`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import (
    AllowFailed,
    AllowHubCode,
    AllowUnchecked,
    BatchSize,
    Compile,
    Corruptions,
    DataDir,
    Dataset,
    Deterministic,
    Device,
    Init,
    Limit,
    Log,
    Out,
    Quiet,
    Robustness,
    Set,
    SkipBad,
    Split,
    Task,
    Threads,
    names_of,
)
from mmbench.cli.output import complain, say
from mmbench.cli.parser import settings_given
from mmbench.errors import MMBenchError
from mmbench.processes import launched_in_vain, refuse_several, speaks

if TYPE_CHECKING:
    from mmbench.experiments.repeats import Repeats
    from mmbench.experiments.result import RunResult
    from mmbench.experiments.watch import Watch
    from mmbench.request import RunRequest, RunSettings


def run(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Option(
            help="A task: `mmbench list tasks`. Several, by commas, are trained together.",
            autocompletion=names_of("tasks"),
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A recipe (`mmbench list models`, or a YAML file), hf:NAME_OR_FOLDER, "
            "openai:NAME, or a predictor's module:Class.",
            autocompletion=names_of("recipes"),
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with these options by name (`batch_size`); others change it."
        ),
    ] = None,
    dataset: Dataset = None,
    split: Split = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train from nothing instead of using shipped weights.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of initialisation, batches and dropout.")] = 0,
    set_: Set = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="How a model from elsewhere is asked, in place of the dataset's own way: '{text}'."
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Of openai:NAME, the server: http://localhost:8000/v1."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(help="Of openai:NAME at a temperature: draws, with seeds of their own."),
    ] = None,
    limit: Limit = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    compile: Compile = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Use the weights in this safetensors file.")
    ] = None,
    init: Init = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    allow_hub_code: AllowHubCode = False,
    allow_failed: AllowFailed = False,
    out: Out = Path("results"),
    force: Annotated[
        bool, typer.Option("--force", help="Run although there is a record, from nothing.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Say so if no training was cut off that can be gone on with."
        ),
    ] = False,
    robustness: Robustness = False,
    corruptions: Corruptions = None,
    log: Log = None,
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run a model on a task, print its scores, and leave a record."""
    from mmbench.cli.progress import QuietWatch, TerminalWatch
    from mmbench.cli.robustness import under_damage
    from mmbench.experiments.repeats import repeat
    from mmbench.experiments.run import carry_out
    from mmbench.request import read_request, run_request

    if request is None:
        for option in ("task", "model"):
            if context.params[option] is None:
                raise MMBenchError(f"missing option --{option}: name one, or a --request")
        asked = run_request(**settings_given(context))
    else:
        asked = read_request(request, **settings_given(context, changed=True))
    watch = _logged(QuietWatch() if quiet else TerminalWatch(), log, asked)
    if vain := launched_in_vain():
        complain(vain)
    if robustness or corruptions:
        refuse_several("--robustness", "ask the model again by one process, afterwards")
    if "," in asked.task:
        if robustness or corruptions:
            raise MMBenchError(
                "--robustness asks the model of one task again: train it for several first, then "
                "give --task one of them and --checkpoint its weights"
            )
        _run_together(asked, watch, json, quiet)
        return
    if repeats is not None:
        if robustness or corruptions:
            raise MMBenchError("--repeats draws answers to undamaged inputs: drop --robustness")
        _print_repeats(repeat(asked, repeats, watch), json)
        return
    after = under_damage(asked, [asked.model], robustness, corruptions, quiet)
    result = carry_out(asked, watch)
    found = after({result.record.model: [result]})
    if json:
        say(result.record.model_dump_json(indent=1))
        return
    print_run(result, quiet)
    say(found, end="")


def _run_together(asked: RunRequest, watch: Watch, json: bool, quiet: bool) -> None:
    """One model for several tasks: print what each of its records says."""
    from json import dumps

    from mmbench.experiments.together import carry_out_together

    results = carry_out_together(asked, watch)
    if json:
        say(dumps([r.record.model_dump(mode="json") for r in results.values()], indent=1))
        return
    for result in results.values():
        print_run(result, quiet)


def _print_repeats(found: Repeats, json: bool) -> None:
    """Print what several draws say together, or all their records, a line each."""
    from mmbench.reports.repeats import repeats_text

    if json:
        for run in found.runs:
            say(run.record.model_dump_json())
    else:
        say(repeats_text(found))


def _logged(watch: Watch, log: str | None, asked: RunSettings) -> Watch:
    """The watch, and beside it the logger that was asked for."""
    if log is None or not speaks():
        return watch
    from mmbench.experiments.logged import LoggedWatch

    return LoggedWatch(watch, log, asked.out)


def print_run(result: RunResult, quiet: bool) -> None:
    """Print a run's scores and what it cost."""
    from mmbench.reports.run import record_text

    say(record_text(result.record, result.path))
    if result.reused and not quiet:
        say(f"  (from the record of {result.record.created}; --force runs it again)")


def compare(
    context: typer.Context,
    study: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STUDY.yaml]", help="A study: these options by name; others change it."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Tasks, separated by commas: `mmbench list tasks`.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Two or more recipes, separated by commas.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, 0, 1, ... each; or which: 0,1,7.")] = "3",
    metrics: Annotated[
        str | None, typer.Option(help="What is tested, separated by commas. Default: the first.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Compare the others with this one. Default: all pairs."),
    ] = None,
    references: Annotated[
        bool,
        typer.Option(
            "--references/--no-references", help="Compare with models that fuse nothing, too."
        ),
    ] = True,
    budget: Annotated[
        str, typer.Option(help="as-is, or solve for widths of equal params or flops.")
    ] = "as-is",
    tune: Annotated[
        int, typer.Option(help="Trials of each model on validation, before it is compared.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run, and stop there.")
    ] = False,
    array: Annotated[
        bool,
        typer.Option(
            "--array", help="Print a Slurm job array of the runs that are new, and stop there."
        ),
    ] = False,
    jobs: Annotated[
        int, typer.Option(help="Runs at a time, on one device; they share the cores.")
    ] = 1,
    engine: Annotated[
        str, typer.Option(help="What carries runs out: here, or a cluster of Ray: ray.")
    ] = "here",
    address: Annotated[
        str | None,
        typer.Option(help="Of the cluster of Ray: 10.0.0.1:6379. Default: the one that runs here."),
    ] = None,
    threads: Threads = None,
    init: Init = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Datasets or their YAML files, separated by commas. Default: the task's"),
    ] = None,
    split: Split = None,
    set_: Set = None,
    limit: Limit = None,
    device: Device = "auto",
    deterministic: Deterministic = False,
    compile: Compile = False,
    batch_size: BatchSize = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    allow_hub_code: AllowHubCode = False,
    allow_failed: AllowFailed = False,
    allow_unchecked: AllowUnchecked = False,
    out: Out = Path("results"),
    force: Annotated[
        bool, typer.Option("--force", help="Run although there are records, from nothing.")
    ] = False,
    robustness: Robustness = False,
    corruptions: Corruptions = None,
    log: Log = None,
    quiet: Quiet = False,
) -> None:
    """Train models under equal conditions over several seeds and compare them.

    What has a record is not run again, so that an interrupted comparison goes on where it was.
    """
    from mmbench.cli.progress import QuietWatch, TerminalWatch
    from mmbench.experiments.array_script import array_script
    from mmbench.experiments.study import carry_out_study
    from mmbench.experiments.study_setup import prepare
    from mmbench.reports.study import plan_text, study_result_text
    from mmbench.study import make_study, read_study

    def tell(model: str, seed: int, result: RunResult) -> None:
        record = result.record
        value = result.value * record.primary.scale
        source = "recorded before" if result.reused else "done"
        where = f"{record.task}/{record.dataset}: " if len(made.entrants) > 1 else ""
        complain(f"{where}{model} seed {seed}: {value:.2f} ({source})")

    settings = settings_given(context, changed=study is not None)
    for option in ("study", "dry_run", "array"):
        settings.pop(option, None)
    settings |= {o: context.params[o] for o in ("robustness", "corruptions") if context.params[o]}
    if study is None:
        for option in ("task", "models"):
            if context.params[option] is None:
                raise MMBenchError(f"missing option --{option}: name one, or a study's YAML file")
        asked = make_study(**settings)
    elif not study.exists() and study.suffix not in (".yaml", ".yml"):
        raise MMBenchError(
            f"there is no study's file {study}. If it is a model: models are separated by commas, "
            f"as in --models concat_fusion,{study}"
        )
    else:
        asked = read_study(study, **settings)
    made = prepare(asked)
    if dry_run:
        say(plan_text(made.plan))
        return
    if array:
        say(array_script(made))
        return
    result = carry_out_study(
        made,
        watch=_logged(QuietWatch() if quiet else TerminalWatch(), log, asked),
        told=(lambda *_: None) if quiet else tell,
        notice=(lambda _: None) if quiet else complain,
    )
    say(study_result_text(result))
    if result.failed:
        sys.exit(1)


def profile(
    context: typer.Context,
    task: Task,
    model: Annotated[str, typer.Option(help="A recipe: `mmbench list models`, or a YAML file.")],
    dataset: Dataset = None,
    split: Split = None,
    set_: Set = None,
    limit: Limit = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Media a batch that parts are timed with. Default: as in training."),
    ] = None,
    search: Annotated[
        float | None, typer.Option(help="Seconds to try larger batches for. Default: 30.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Use the weights in this safetensors file.")
    ] = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Measure what a model costs: by part, for one sample alone, in the largest batch.

    It needs no trained weights.
    """
    from json import dumps

    from mmbench.experiments.profiling import profile as profile_model
    from mmbench.reports.profile import profile_text

    found = profile_model(**settings_given(context))
    say(dumps(found.to_dict(), indent=1) if json else profile_text(found))

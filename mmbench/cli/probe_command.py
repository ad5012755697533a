"""`mmbench probe`: what an encoder's features know."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from mmbench.cli.options import DataDir, Device, Out, SkipBad, Split
from mmbench.cli.output import say


def probe(
    encoder: Annotated[
        str,
        typer.Option(help="A checkpoint (weights.safetensors), or a recipe with shipped weights."),
    ],
    dataset: Annotated[str, typer.Option(help="A dataset, or its YAML file.")],
    target: Annotated[str, typer.Option(help="An attribute of its samples: shape, colour.")],
    modality: Annotated[str, typer.Option(help="Whose encoder: image, text, video, audio.")] = (
        "image"
    ),
    task: Annotated[
        str | None, typer.Option(help="Of a recipe: for which task its weights are.")
    ] = None,
    zero_shot: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROMPT",
            help="Fit nothing; classify by names in prompts: 'a [small|large] {} object'.",
        ),
    ] = None,
    split: Split = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of the random features.")] = 0,
    out: Out = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit a linear classifier on an encoder's frozen features, on random ones and on raw ones.

    With --zero-shot, classify by the names of classes instead, by the text encoder beside it.
    """
    from mmbench.cli.progress import TerminalWatch
    from mmbench.data.reading import reporting_to

    asked: dict[str, Any] = {
        "modality": modality,
        "task": task,
        "split": split,
        "data_dir": data_dir,
        "skip_bad": skip_bad,
        "device": device,
        "out": out,
    }
    watch = TerminalWatch()
    try:
        with reporting_to(watch.read):
            if zero_shot:
                result, text = _zero_shot(encoder, dataset, target, zero_shot, asked)
            else:
                result, text = _linear(encoder, dataset, target, asked | {"seed": seed})
    finally:
        watch.done()
    say(json_module.dumps(result, indent=1) if json else text)


_Shown = tuple[dict[str, Any], str]  # as JSON, and as text


def _linear(encoder: str, dataset: str, target: str, asked: dict[str, Any]) -> _Shown:
    from mmbench.experiments.probe import probe as run_probe
    from mmbench.reports.probe import probe_text

    result = run_probe(encoder, dataset, target, **asked)
    return result.to_json(), probe_text(result)


def _zero_shot(
    encoder: str, dataset: str, target: str, prompts: list[str], asked: dict[str, Any]
) -> _Shown:
    from mmbench.experiments.zero_shot import zero_shot
    from mmbench.reports.zero_shot import zero_shot_text

    result = zero_shot(encoder, dataset, target, prompts, **asked)
    return result.to_json(), zero_shot_text(result)

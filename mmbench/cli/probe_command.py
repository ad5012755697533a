"""`mmbench probe`: what an encoder's features know."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from mmbench.cli.options import DataDir, Device, SkipBad, Split
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
    split: Split = None,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of the random features.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit a linear classifier on an encoder's frozen features, on random ones and on raw ones."""
    from mmbench.cli.progress import TerminalWatch
    from mmbench.data.reading import reporting_to
    from mmbench.experiments.probe import probe as run_probe
    from mmbench.reports.probe import probe_text

    watch = TerminalWatch()
    try:
        with reporting_to(watch.read):
            result = run_probe(
                encoder,
                dataset,
                target,
                modality=modality,
                task=task,
                split=split,
                data_dir=data_dir,
                skip_bad=skip_bad,
                device=device,
                seed=seed,
            )
    finally:
        watch.done()
    say(json_module.dumps(result.to_json(), indent=1) if json else probe_text(result))

"""Pipelines of diffusers that draw an image from a text."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from mmbench.data.sample import Query, stable_number
from mmbench.errors import MMBenchError, in_one_line
from mmbench.predictors.loading import Loading
from mmbench.processes import here
from mmbench.prompts import Prompt
from mmbench.published_checkpoint import PublishedCheckpoint
from mmbench.task import Answer
from mmbench.zoo.transformers_network import quiet

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Drawing:
    """How a pipeline draws; None leaves it to the pipeline.

    Attributes:
        steps: of its sampler.
        guidance: a scale: how far it is led by the text.
        size: pixels a side.
        draw: which of several draws of each image.
    """

    steps: int | None = None
    guidance: float | None = None
    size: int | None = None
    draw: int = 0

    def arguments(self) -> dict[str, Any]:
        """What a pipeline is called with of these."""
        asked = {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "height": self.size,
            "width": self.size,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def generator(self, query: Query) -> torch.Generator:
        """What a query's noise is drawn from: the same in any batch and on any device."""
        return torch.Generator("cpu").manual_seed(stable_number(f"{self.draw}/{query.id}"))


class DiffusionModel:
    """A text-to-image pipeline, as it was published, that draws each image from a seed of its own.

    Args:
        loading: of its checkpoint; without a device map.
        prompt: the words around a query's text.
        drawing: how it draws.
        batch: images at a time.
    Raises: MMBenchError without diffusers, and for what is no pipeline or reads no text.
    """

    def __init__(self, loading: Loading, prompt: Prompt, drawing: Drawing, batch: int) -> None:
        self._name = loading.checkpoint.name
        if not loading.checkpoint.pipeline:
            raise MMBenchError(
                f"the checkpoint {self._name} is of type {loading.checkpoint.architecture}, and no "
                "pipeline of diffusers, which has a model_index.json: name one that draws images"
            )
        if "{text}" not in prompt.text:
            raise MMBenchError(f"the prompt '{prompt.text}' has no {{text}}: nothing would be read")
        self._pipeline = _loaded(loading)
        self._prompt = prompt
        self._drawing = drawing
        self._batch = batch
        self._hidden = 0
        takes = inspect.signature(type(self._pipeline).__call__).parameters
        options = {"prompt": "a text", "num_inference_steps": "steps"}
        options |= {"guidance_scale": "guidance", "height": "size", "width": "size"}
        for argument in ("prompt", "generator", *drawing.arguments()):
            if argument not in takes:
                what = options.get(argument, "seeds")
                raise MMBenchError(
                    f"the pipeline {self._name}, a {loading.checkpoint.architecture}, takes no "
                    f"{what.removeprefix('a ')}"
                )

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """By name, the networks that it is made of."""
        parts = self._pipeline.components
        return {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An image (H, W, 3) uint8 per query, as soon as its batch is drawn."""
        self._hidden = 0
        with quiet():
            for start in self.starts(queries):
                yield from map(Answer, self._drawn(queries[start : start + self._batch]))

    def starts(self, queries: Sequence[Query]) -> list[int]:
        """Where its batches begin."""
        return list(range(0, len(queries), self._batch))

    def notes(self) -> list[str]:
        """Whether its safety checker hid what it drew."""
        hidden = sum(here().of_each(self._hidden))
        return [f"its safety checker made {hidden:,} images black"] if hidden else []

    def _drawn(self, queries: Sequence[Query]) -> Sequence[Any]:
        texts = [self._prompt.asks(query.inputs) for query in queries]
        with torch.inference_mode():
            try:
                found = self._pipeline(
                    prompt=texts,
                    generator=[self._drawing.generator(query) for query in queries],
                    output_type="np",
                    **self._drawing.arguments(),
                )
            except ValueError as error:  # which it raises of what it is asked for
                raise MMBenchError(
                    f"the pipeline {self._name} does not draw so: {in_one_line(error)}"
                ) from None
        self._hidden += sum(map(bool, getattr(found, "nsfw_content_detected", None) or ()))
        images = np.asarray(found.images)
        if len(images) != len(queries) or images.ndim != 4 or images.shape[3] != 3:
            raise MMBenchError(
                f"the pipeline {self._name} gave an array {images.shape} where {len(queries)} "
                "images (H, W, 3) were asked for"
            )
        if not np.isfinite(images).all():
            raise MMBenchError(
                f"the pipeline {self._name} draws values that are not numbers in its own "
                "precision: --set dtype=float32"
            )
        return list(np.rint(images.clip(0, 1) * 255).astype(np.uint8))


def _loaded(loading: Loading) -> Any:
    try:
        import diffusers
    except ImportError:
        raise MMBenchError(
            "pipelines that draw need diffusers: pip install 'mmbench[diffusers]'"
        ) from None
    name = loading.dtype
    dtype = _own_dtype(loading.checkpoint) if name == "auto" else getattr(torch, name)
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    with quiet():
        try:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(
                str(loading.checkpoint.folder),
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
        except Exception as error:  # whatever files from elsewhere make diffusers raise
            raise loading.unusable("its pipeline cannot be loaded", error) from None
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(loading.device)


def _own_dtype(checkpoint: PublishedCheckpoint) -> torch.dtype:
    """The precision that most of a pipeline's weights have; float32 where it is another one."""
    counts = dict.fromkeys(_DTYPES, 0)
    for file in sorted(Path(checkpoint.folder).glob("*/*.safetensors")):
        with safe_open(file, "pt") as weights:
            for key in weights.keys():  # noqa: SIM118 - it is no mapping
                part = weights.get_slice(key)
                if part.get_dtype() in counts:
                    counts[part.get_dtype()] += int(np.prod(part.get_shape()))
    return _DTYPES[max(counts, key=lambda name: counts[name])]

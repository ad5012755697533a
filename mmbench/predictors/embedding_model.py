"""Dual encoders of transformers: images (or sounds) and texts in one space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mmbench.data.media import MediaRef, at_hand
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError, in_one_line
from mmbench.predictors.loading import Loading, on
from mmbench.task import Answer
from mmbench.zoo.transformers_network import quiet

_WHOLE_LENGTH = ("siglip", "siglip2")  # were trained on texts that are all filled up


class EmbeddingModel:
    """A model with `get_text_features` and `get_image_features` (or `get_audio_features`).

    Args:
        loading: of its checkpoint.
        batch: queries at a time.
    Raises: MMBenchError for a checkpoint that is no dual encoder.
    """

    def __init__(self, loading: Loading, batch: int) -> None:
        from transformers import AutoModel

        does = "embeds texts and media (CLIP, SigLIP, CLAP)"
        self.network = loading.network(AutoModel, does, by="get_text_features")
        self._name = loading.checkpoint.name
        self._processor = loading.processor()
        self._padding = (
            "max_length" if loading.checkpoint.architecture in _WHOLE_LENGTH else "longest"
        )
        longest = self._processor.tokenizer.model_max_length
        places = getattr(self.network.config.text_config, "max_position_embeddings", longest)
        self._longest = min(places, longest)  # of a text in tokens: more are cut
        self._batch = batch

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An embedding (D,) per query, of its text or its medium; runs of a kind go together."""
        start = 0
        while start < len(queries):
            kind = tuple(queries[start].inputs)
            end = start + 1
            while end < min(len(queries), start + self._batch) and kind == tuple(
                queries[end].inputs
            ):
                end += 1
            yield from map(Answer, self._embedded(kind, queries[start:end]))
            start = end

    def _embedded(self, kind: tuple[str, ...], queries: Sequence[Query]) -> npt.NDArray[np.float32]:
        if len(kind) != 1:
            raise MMBenchError(f"{self._name} embeds one input a query, got {' and '.join(kind)}")
        values = [query.inputs[kind[0]] for query in queries]
        embed = getattr(self.network, f"get_{kind[0]}_features", None)
        if embed is None:
            raise MMBenchError(f"{self._name} embeds no {kind[0]}")
        try:
            with quiet():
                inputs = self._inputs(kind[0], values)
        except Exception as error:  # processors are as their checkpoints set them up
            raise MMBenchError(
                f"the checkpoint {self._name} cannot read its {kind[0]}: {in_one_line(error)}"
            ) from None
        with torch.inference_mode():
            found = embed(**on(self.network, inputs))
        tensor = getattr(found, "pooler_output", found)
        embeddings: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
        return embeddings

    def _inputs(self, kind: str, values: Sequence[Any]) -> Any:
        if kind == "text":
            return self._processor(
                text=list(values),
                padding=self._padding,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            )
        media: list[MediaRef] = list(at_hand(values))
        if kind == "audio":
            sounds = [medium.array().astype(np.float32) / 32768 for medium in media]
            return self._processor(
                audio=sounds, sampling_rate=media[0].rate, return_tensors="pt", padding=True
            )
        return self._processor(images=[medium.pil() for medium in media], return_tensors="pt")

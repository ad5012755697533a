"""Dual encoders of transformers: images, videos or sounds, and texts, in one space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mmbench.data.media import MediaRef, at_hand
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError, in_one_line
from mmbench.predictors.loading import Loading, on
from mmbench.prefetch import prefetched
from mmbench.prompts import Prompt
from mmbench.task import Answer
from mmbench.zoo.sounds import resampled
from mmbench.zoo.transformers_network import quiet

_COUNT_FROM_PADDING = ("clap", "altclip")  # whose texts' places begin behind that of padding
_WHOLE_LENGTH = ("siglip", "siglip2")  # were trained on texts that are all filled up


class EmbeddingModel:
    """A model with `get_text_features`, and `get_image_features` or those of videos or sounds.

    X-CLIP's texts are embedded by themselves, without what its own scoring adds to them for each
    video. A video that it has no features of is the mean of its frames' embeddings, each of length
    1 (Luo et al., CLIP4Clip, 2021, arXiv 2104.08860, mean pooling).

    Args:
        loading: of its checkpoint.
        batch: queries at a time.
        frames: of a video, evenly spread, where the checkpoint does not say how many it reads.
        prompt: the words around a text; None for none.
    Raises: MMBenchError for a checkpoint that is no dual encoder.
    """

    def __init__(
        self, loading: Loading, batch: int, frames: int, prompt: Prompt | None = None
    ) -> None:
        from transformers import AutoModel

        does = "embeds texts and media (CLIP, SigLIP, X-CLIP, CLAP)"
        self.network = loading.network(AutoModel, does, by="get_text_features")
        self._name = loading.checkpoint.name
        self._processor = loading.processor()
        self._padding = (
            "max_length" if loading.checkpoint.architecture in _WHOLE_LENGTH else "longest"
        )
        longest = self._processor.tokenizer.model_max_length
        texts = self.network.config.text_config
        places = getattr(texts, "max_position_embeddings", longest)
        if loading.checkpoint.architecture in _COUNT_FROM_PADDING:
            places -= texts.pad_token_id + 1
        self._longest = min(places, longest)  # of a text in tokens: more are cut
        self._batch = batch
        self._prompt = prompt
        seen = getattr(self.network.config, "vision_config", None)
        self._frames: int = getattr(seen, "num_frames", None) or frames

    @property
    def networks(self) -> dict[str, Any]:
        """Its one network."""
        return {"": self.network}

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An embedding (D,) per query, of its text or its medium.

        Those of a kind go together, and the next batch is prepared while one is embedded.
        """
        starts = self.starts(queries)
        ends = [*starts[1:], len(queries)]
        batches = (queries[start:end] for start, end in zip(starts, ends, strict=True))
        with quiet(), closing(prefetched(map(self._prepared, batches))) as ready:
            for kind, inputs in ready:
                yield from map(Answer, self._embedded(kind, inputs))

    def starts(self, queries: Sequence[Query]) -> list[int]:
        """Where its batches begin: of so many queries of one kind that follow each other."""
        found: list[int] = []
        for place, query in enumerate(queries):
            full = bool(found) and place - found[-1] == self._batch
            if not found or full or tuple(query.inputs) != tuple(queries[found[-1]].inputs):
                found.append(place)
        return found

    def _prepared(self, queries: Sequence[Query]) -> tuple[str, dict[str, torch.Tensor]]:
        """What queries of one kind are about, as the processor prepares it."""
        kind, *others = queries[0].inputs
        if others:
            both = " and ".join((kind, *others))
            raise MMBenchError(f"{self._name} embeds one input a query, got {both}")
        if not self._embeds(kind):
            raise MMBenchError(
                f"{self._name}, of type {self.network.config.model_type}, embeds no {kind}: name "
                "another one"
            )
        try:
            return kind, self._inputs(kind, queries)
        except Exception as error:  # processors are as their checkpoints set them up
            raise MMBenchError(
                f"the checkpoint {self._name} cannot read its {kind}: {in_one_line(error)}"
            ) from None

    def _embeds(self, kind: str) -> bool:
        by_frames = kind == "video" and hasattr(self.network, "get_image_features")
        return by_frames or hasattr(self.network, f"get_{kind}_features")

    def _inputs(self, kind: str, queries: Sequence[Query]) -> dict[str, torch.Tensor]:
        values = [query.inputs[kind] for query in queries]
        if kind == "text":
            asked = self._prompt
            found = self._processor(
                text=[asked.asks(query.inputs) for query in queries] if asked else values,
                padding=self._padding,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            )
            return dict(found)
        media: list[MediaRef] = list(at_hand(values))
        if kind == "audio":
            heard = [self._heard(*both) for both in zip(media, queries, strict=True)]
            return {name: torch.cat([one[name] for one in heard]) for name in heard[0]}
        if kind == "image":
            return dict(self._processor(images=[m.pil() for m in media], return_tensors="pt"))
        clips = [self._chosen(medium.array()) for medium in media]
        if hasattr(self.network, "get_video_features"):
            return dict(self._processor(videos=[list(clip) for clip in clips], return_tensors="pt"))
        frames = [frame for clip in clips for frame in clip]
        return dict(self._processor(images=frames, return_tensors="pt"))

    def _chosen(self, video: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The frames that are seen of a video, evenly spread; of a short one some twice."""
        return video[np.linspace(0, len(video) - 1, self._frames).round().astype(int)]

    def _heard(self, sound: MediaRef, query: Query) -> dict[str, torch.Tensor]:
        """A sound by itself, at the rate that the checkpoint reads.

        CLAP's extractor draws which part of a long one is read, by numpy's common generator, and
        one of a batch of short ones to be called long. Here neither a sound's batch nor what was
        drawn before decides what is heard of it.
        """
        extractor = self._processor.feature_extractor
        wave = resampled(sound.array(), sound.rate, extractor.sampling_rate)
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(query.seed % 2**32)  # noqa: NPY002
        try:
            found = self._processor(
                audio=[wave],
                sampling_rate=extractor.sampling_rate,
                return_tensors="pt",
                padding=True,
            )
        finally:
            np.random.set_state(state)  # noqa: NPY002
        inputs = dict(found)
        if "is_longer" in inputs:  # than the extractor reads, in its spectrogram's frames
            hop = extractor.hop_length
            longer = len(wave) // hop > extractor.nb_max_samples // hop
            inputs["is_longer"] = torch.tensor([[longer]])
        return inputs

    def _embedded(self, kind: str, inputs: dict[str, torch.Tensor]) -> npt.NDArray[np.float32]:
        by_frames = kind == "video" and not hasattr(self.network, "get_video_features")
        embed = getattr(self.network, f"get_{'image' if by_frames else kind}_features")
        with torch.inference_mode():
            found = embed(**on(self.network, inputs))
        tensor: torch.Tensor = getattr(found, "pooler_output", found).float()
        if by_frames:
            tensor = torch.nn.functional.normalize(tensor, dim=-1)
            tensor = tensor.view(-1, self._frames, tensor.shape[-1]).mean(1)
        embeddings: npt.NDArray[np.float32] = tensor.cpu().numpy()
        return embeddings

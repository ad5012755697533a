"""Models of transformers and diffusers, from the hub or a folder: `--model hf:NAME[@REVISION]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from mmbench.data.sample import Query
from mmbench.prompts import Prompt
from mmbench.published_checkpoint import ASKED_BY, find_checkpoint
from mmbench.task import Answer
from mmbench.yaml_file import validate

DType = Literal["auto", "float32", "bfloat16", "float16"]
_OF_KIND = {  # options that only some answers depend on
    "text": ("attention", "device_map", "max_new_tokens"),
    "embeddings or scores": ("attention", "device_map", "frames"),
    "images": ("steps", "guidance", "size"),
}


class HuggingFace:
    """A checkpoint of transformers that writes about images or embeds, or a pipeline that draws.

    Where answers are text it is loaded by `AutoModelForImageTextToText` and asked by its own chat
    template, greedily; where they are embeddings by `AutoModel`, and embeds texts and images,
    videos or sounds (CLIP, SigLIP, X-CLIP, CLAP); where they are images it is a pipeline of
    diffusers (extra `diffusers`). Safetensors alone; no code of a checkpoint's own is run.

    Args:
        pretrained: a folder that holds the checkpoint, or its name on the hub.
        answer_kind: what the task asks for.
        device: that it runs on.
        anew: whether it answers also what it has answered before (`mmbench.responses`).
        revision: on the hub.
        draw: the run's seed, which images are drawn by.
        prompt, reads: how it is asked and its answers are read (`mmbench.prompts`); the dataset's.
        dtype: of its weights; "auto" for the checkpoint's own.
        attention: how it is computed ("sdpa", "eager", "flash_attention_2"); None for
            transformers' choice.
        device_map: how a model that one device does not hold is spread ("auto").
        max_new_tokens: the most that it writes.
        batch: queries at a time.
        frames: of a video, evenly spread, that a dual encoder of images embeds; one of videos reads
            as many as its checkpoint says.
        steps: in which a pipeline draws; None for its own number.
        guidance: how far it is led by the text, a scale; None for its own.
        size: pixels a side of what it draws, and of the real images; None for its own and theirs.
    """

    version = 1
    answer_kinds = ("text", "embeddings or scores", "images")
    draws = ("images",)
    named_by = ("pretrained", "revision")
    architectures = "any"
    decides_nothing = ("anew", "draw")  # the seed is in the record's place
    added_with = {
        "revision": None,
        "prompt": None,
        "reads": None,
        "dtype": "auto",
        "attention": None,
        "device_map": None,
        "max_new_tokens": 32,
        "frames": 8,
        "steps": None,
        "guidance": None,
        "size": None,
        "batch": 16,  # may change the last bits of what is computed, and so an answer
    }

    def __init__(
        self,
        pretrained: str,
        answer_kind: str,
        device: str,
        anew: bool = False,
        revision: str | None = None,
        prompt: str | None = None,
        reads: str | None = None,
        dtype: DType = "auto",
        attention: str | None = None,
        device_map: str | None = None,
        max_new_tokens: int = 32,
        batch: int = 16,
        frames: int = 8,
        steps: int | None = None,
        guidance: float | None = None,
        size: int | None = None,
        draw: int = 0,
    ) -> None:
        given: dict[str, Any] = {
            "attention": attention,
            "device_map": device_map,
            "max_new_tokens": max_new_tokens,
            "frames": frames,
            "steps": steps,
            "guidance": guidance,
            "size": size,
        }
        for name, value in given.items():
            if value != self.added_with[name] and name not in _OF_KIND[answer_kind]:
                raise ValueError(f"{name} decides nothing where answers are {answer_kind}")
        counts = {"batch": batch, **given}
        for name in ("max_new_tokens", "batch", "frames", "steps", "size"):
            if counts[name] is not None and counts[name] < 1:
                raise ValueError(f"{name} must be at least 1, got {counts[name]}")
        from mmbench.predictors.loading import Loading

        asked = validate(Prompt, {"text": prompt or "{text}", "reads": reads or "text"}, "hf")
        checkpoint = find_checkpoint(pretrained, revision, also=ASKED_BY)
        loading = Loading(checkpoint, device, dtype, attention, device_map)
        self._model: Any
        if answer_kind == "text":
            from mmbench.predictors.chat_model import ChatModel

            self._model = ChatModel(loading, asked, max_new_tokens, batch, anew)
        elif answer_kind == "images":
            from mmbench.predictors.diffusion_model import DiffusionModel, Drawing

            drawing = Drawing(steps, guidance, size, draw)
            self._model = DiffusionModel(loading, asked, drawing, batch)
        else:
            from mmbench.predictors.embedding_model import EmbeddingModel

            around = asked if "{text}" in (prompt or "") else None  # else it asks about media
            self._model = EmbeddingModel(loading, batch, frames, around)

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An answer per query, in order, as soon as its batch is done."""
        answers: Iterator[Answer] = self._model.predict(queries)
        return answers

    def starts(self, queries: Sequence[Query]) -> list[int]:
        """Where its batches begin, the composition of which may decide the last bits."""
        starts: list[int] = self._model.starts(queries)
        return starts

    def notes(self) -> list[str]:
        """What a reader of its answers should know."""
        notes = getattr(self._model, "notes", list)  # of one that writes
        found: list[str] = notes()
        return found

    def parameters(self) -> dict[str, int]:
        """How many it has, by part."""
        from mmbench.model import parameter_counts

        counts: dict[str, int] = {}
        for name, network in self._model.networks.items():
            own = parameter_counts(network)
            counts |= {f"{name}.{part}" if name else part: count for part, count in own.items()}
        return counts

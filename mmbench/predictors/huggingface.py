"""Models of transformers, from the hub or a folder: `--model hf:NAME[@REVISION]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from mmbench.data.sample import Query
from mmbench.prompts import Prompt
from mmbench.published_checkpoint import ASKED_BY, find_checkpoint
from mmbench.task import Answer
from mmbench.yaml_file import validate

DType = Literal["auto", "float32", "bfloat16", "float16"]


class HuggingFace:
    """A checkpoint of transformers: one that writes text about images, or a dual encoder.

    Where answers are text it is loaded by `AutoModelForImageTextToText` and asked by its own chat
    template, greedily; where they are embeddings by `AutoModel`, and embeds texts and images,
    videos or sounds (CLIP, SigLIP, X-CLIP, CLAP). Safetensors alone; no code of a checkpoint's own
    is run.

    Args:
        pretrained: a folder that holds the checkpoint, or its name on the hub.
        answer_kind: what the task asks for.
        device: that it runs on.
        anew: whether it answers also what it has answered before (`mmbench.responses`).
        revision: on the hub.
        prompt, reads: how it is asked and its answers are read (`mmbench.prompts`); the dataset's.
        dtype: of its weights; "auto" for the checkpoint's own.
        attention: how it is computed ("sdpa", "eager", "flash_attention_2"); None for
            transformers' choice.
        device_map: how a model that one device does not hold is spread ("auto").
        max_new_tokens: the most that it writes.
        batch: queries at a time.
        frames: of a video, evenly spread, that a dual encoder of images embeds; one of videos reads
            as many as its checkpoint says.
    """

    version = 1
    answer_kinds = ("text", "embeddings or scores")
    named_by = ("pretrained", "revision")
    architectures = "any"
    decides_nothing = ("anew",)
    added_with = {
        "revision": None,
        "prompt": None,
        "reads": None,
        "dtype": "auto",
        "attention": None,
        "device_map": None,
        "max_new_tokens": 32,
        "frames": 8,
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
    ) -> None:
        counts = {"max_new_tokens": max_new_tokens, "batch": batch, "frames": frames}
        for name, number in counts.items():
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        from mmbench.predictors.chat_model import ChatModel
        from mmbench.predictors.embedding_model import EmbeddingModel
        from mmbench.predictors.loading import Loading

        checkpoint = find_checkpoint(pretrained, revision, also=ASKED_BY)
        loading = Loading(checkpoint, device, dtype, attention, device_map)
        self._model: ChatModel | EmbeddingModel
        if answer_kind == "text":
            asked = validate(Prompt, {"text": prompt or "{text}", "reads": reads or "text"}, "hf")
            self._model = ChatModel(loading, asked, max_new_tokens, batch, anew)
        else:
            self._model = EmbeddingModel(loading, batch, frames)

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An answer per query, in order, as soon as its batch is done."""
        return self._model.predict(queries)

    def notes(self) -> list[str]:
        """What a reader of its answers should know."""
        notes = getattr(self._model, "notes", list)  # of one that writes
        found: list[str] = notes()
        return found

    def parameters(self) -> dict[str, int]:
        """How many it has, by part."""
        from mmbench.model import parameter_counts

        return parameter_counts(self._model.network)

"""Models that write text about images, asked by the chat template of their checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import torch

from mmbench.data.media import MediaRef, media_of
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError, in_one_line
from mmbench.predictors.loading import Loading, on
from mmbench.prefetch import prefetched
from mmbench.prompts import Prompt
from mmbench.task import Answer
from mmbench.zoo.transformers_network import quiet
from mmbench.zoo.words import IMAGE_PLACE


class ChatModel:
    """An image-text-to-text model of transformers that answers greedily.

    Args:
        loading: of its checkpoint.
        prompt: how it is asked and its answers are read.
        longest: the most tokens that it writes.
        batch: queries at a time.
    Raises: MMBenchError for a checkpoint without a chat template, or of another kind.
    """

    def __init__(self, loading: Loading, prompt: Prompt, longest: int, batch: int) -> None:
        from transformers import AutoModelForImageTextToText

        self.network = loading.network(AutoModelForImageTextToText, "writes text about images")
        self._name = loading.checkpoint.name
        self._processor = loading.processor()
        if not getattr(self._processor, "chat_template", None):
            raise MMBenchError(
                f"the checkpoint {self._name} has no chat template, so that it is not known how it "
                "is asked: save one beside the weights (chat_template.jinja)"
            )
        tokenizer = self._processor.tokenizer
        tokenizer.padding_side = "left"  # what is written follows what was asked
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._prompt = prompt
        self._longest = longest
        self._batch = batch

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An answer per query; the next batch is prepared while one is answered."""
        starts = range(0, len(queries), self._batch)
        made = (self._prepared(queries[start : start + self._batch]) for start in starts)
        with closing(prefetched(made)) as ready:
            for asked, inputs in ready:
                for query, written in zip(asked, self._written(inputs), strict=True):
                    yield Answer(self._prompt.read(written, query.inputs), written=written)

    def _prepared(self, queries: Sequence[Query]) -> tuple[Sequence[Query], Any]:
        asked = [[self._message(query)] for query in queries]
        try:
            with quiet():
                inputs = self._processor.apply_chat_template(
                    asked,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                    return_tensors="pt",
                    processor_kwargs={"padding": True},
                )
        except Exception as error:  # a template is a program of whoever made the checkpoint
            raise MMBenchError(
                f"the checkpoint {self._name} cannot be asked, its chat template and processor "
                f"say: {in_one_line(error)}"
            ) from None
        return queries, inputs

    def _message(self, query: Query) -> dict[str, Any]:
        images: list[MediaRef] = []
        for name, value in query.inputs.items():
            images += media_of(value)
            if media_of(value) and name != "image":
                raise MMBenchError(
                    f"hf: asks about images, and {query.id} has a {name}: score such a model's "
                    "answers from a file (`mmbench score --help`)"
                )
        parts = interleaved(self._prompt.asks(query.inputs), [image.pil() for image in images])
        return {"role": "user", "content": parts}

    def _written(self, inputs: Any) -> list[str]:
        with torch.inference_mode(), quiet():
            tokens = self.network.generate(
                **on(self.network, inputs),
                max_new_tokens=self._longest,
                do_sample=False,
                num_beams=1,
                pad_token_id=self._processor.tokenizer.pad_token_id,
            )
        new = tokens[:, inputs["input_ids"].shape[1] :]
        found: list[str] = self._processor.batch_decode(new, skip_special_tokens=True)
        return found


def interleaved(text: str, images: Sequence[Any]) -> list[dict[str, Any]]:
    """A message's parts: each image where the text has a place for it, or all before the text.

    >>> interleaved("□ is a dax. □ is a?", ["one", "two"])[2]
    {'type': 'image', 'image': 'two'}
    """
    shown = [{"type": "image", "image": image} for image in images]
    told = text.split(IMAGE_PLACE)
    if len(told) != len(images) + 1:
        return [*shown, {"type": "text", "text": text}]
    parts = []
    for number, words in enumerate(told):
        parts += [{"type": "text", "text": words.strip()}] if words.strip() else []
        parts += shown[number : number + 1]
    return parts

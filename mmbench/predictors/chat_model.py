"""Models that write text about images, asked by the chat template of their checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from mmbench.data.sample import Query
from mmbench.errors import MMBenchError, in_one_line
from mmbench.predictors.loading import Loading, on
from mmbench.predictors.messages import images_of, interleaved, known_message
from mmbench.prefetch import prefetched
from mmbench.processes import here
from mmbench.prompts import Prompt
from mmbench.responses import Response, Responses, response_key
from mmbench.task import Answer
from mmbench.zoo.transformers_network import quiet


class ChatModel:
    """An image-text-to-text model of transformers that answers greedily.

    Args:
        loading: of its checkpoint.
        prompt: how it is asked and its answers are read.
        longest: the most tokens that it writes.
        batch: queries at a time.
        anew: whether it answers also what it has answered before.
    Raises: MMBenchError for a checkpoint without a chat template, or of another kind.
    """

    def __init__(
        self, loading: Loading, prompt: Prompt, longest: int, batch: int, anew: bool = False
    ) -> None:
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
        self._anew = anew
        self._loading = loading
        self._kept = (0, 0)

    @property
    def networks(self) -> dict[str, Any]:
        """Its one network."""
        return {"": self.network}

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An answer per query; the next batch is prepared while one is answered.

        Answers are kept batch by batch, so that a run that was cut off goes on.
        """
        batches = [queries[start : start + self._batch] for start in self.starts(queries)]
        keys = [self._keys(batch) for batch in batches]
        with quiet(), Responses(self._kept_as()) as responses:  # quiet once: it takes its time
            every = [key for of_batch in keys for key in of_batch]
            kept = {} if self._anew else responses.get(every)
            self._kept = sum(key in kept for key in every), len(every)
            new = (b for b, of in zip(batches, keys, strict=True) if not kept.keys() >= set(of))
            with closing(prefetched(map(self._prepared, new))) as ready:
                for batch, of_batch in zip(batches, keys, strict=True):
                    if not kept.keys() >= set(of_batch):
                        found = map(Response, self._written(next(ready)))
                        made = dict(zip(of_batch, found, strict=True))
                        responses.put_all(made)
                        kept |= made
                    for query, key in zip(batch, of_batch, strict=True):
                        written = kept[key].written
                        yield Answer(self._prompt.read(written, query.inputs), written=written)

    def starts(self, queries: Sequence[Query]) -> list[int]:
        """Where its batches begin."""
        return list(range(0, len(queries), self._batch))

    def notes(self) -> list[str]:
        """How many answers were kept from an earlier run, if any were."""
        kept, every = map(sum, zip(*here().of_each(self._kept), strict=True))
        words = f"{kept:,} of {every:,} answers were kept from an earlier run: its times are short"
        return [words] if kept else []

    def _kept_as(self) -> str:
        checkpoint = self._loading.checkpoint
        return f"{Path(checkpoint.name).name} {checkpoint.sha256[:16]}"

    def _keys(self, batch: Sequence[Query]) -> list[str]:
        """What the answers of a batch are known by: also by the batch, which decides last bits."""
        asked = [known_message(self._prompt, query) for query in batch]
        settings = {
            "max_new_tokens": self._longest,
            "dtype": self._loading.dtype,
            "attention": self._loading.attention,
            "device": self._loading.device.partition(":")[0],
            "device_map": self._loading.device_map,
        }
        whole = response_key(asked=asked, settings=settings, model=self._loading.checkpoint.sha256)
        return [response_key(batch=whole, place=place) for place in range(len(batch))]

    def _prepared(self, queries: Sequence[Query]) -> Any:
        asked = [[self._message(query)] for query in queries]
        try:
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
        return inputs

    def _message(self, query: Query) -> dict[str, Any]:
        shown = [{"type": "image", "image": image.pil()} for image in images_of(query)]
        return {"role": "user", "content": interleaved(self._prompt.asks(query.inputs), shown)}

    def _written(self, inputs: Any) -> list[str]:
        with torch.inference_mode():
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

"""GPT-2 as an encoder: a Transformer in which a word sees those before it.

Source: Radford et al., Language Models are Unsupervised Multitask Learners, 2019;
transformers' `GPT2Model`.
"""

from __future__ import annotations

from typing import Any

from mmbench.zoo.encoders.huggingface import HuggingFaceText
from mmbench.zoo.transformers_network import (
    LoRA,
    Start,
    gpt2_configuration,
    transformer_sizes,
    words_of,
)
from mmbench.zoo.words import Words


class GPT2(HuggingFaceText):
    """GPT-2: words and positions through blocks of causal attention; h = norm(x).

    Only the last token has seen the whole text (`pooling: last`).

    Args:
        dim: width D of the tokens.
        vocabulary: of the task, for a network from nothing.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        longest: the most words that a network from nothing reads; others are cut.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, L) int64 -> (B, L, D). What is masked comes last.
    """

    architectures = ("gpt2",)
    causal = True
    added_with = {
        "layers": 4,
        "heads": 4,
        "hidden": None,
        "longest": 128,
        "pretrained": None,
        "revision": None,
        "unfreeze": "none",
        "lora": None,
    }

    def __init__(
        self,
        dim: int,
        vocabulary: Words,
        layers: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        longest: int = 128,
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import GPT2Model

        def configuration() -> Any:
            sizes = transformer_sizes(dim, hidden, layers, heads)
            return gpt2_configuration(sizes, words_of(len(vocabulary), longest))

        super().__init__(
            dim,
            GPT2Model,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {"layers": layers, "heads": heads, "hidden": hidden, "longest": longest},
            vocabulary=vocabulary,
        )

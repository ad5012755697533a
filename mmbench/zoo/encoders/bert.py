"""BERT: a Transformer that reads a text in both directions.

Source: Devlin et al., BERT, 2019 (arXiv 1810.04805); transformers' `BertModel`.
"""

from __future__ import annotations

from mmbench.zoo.encoders.huggingface import HuggingFaceText
from mmbench.zoo.transformers_network import NO_DROPOUT, LoRA, Start, transformer_sizes, words_of
from mmbench.zoo.words import Words


class BERT(HuggingFaceText):
    """BERT: words and positions through blocks of attention in both directions.

    A checkpoint's texts stand between [CLS] and [SEP] (`pooling: first` takes the [CLS]); those of
    a network from nothing are the task's words alone.

    Args:
        dim: width D of the tokens.
        vocabulary: of the task, for a network from nothing.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        longest: the most words that a network from nothing reads; others are cut.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, L) int64 -> (B, L, D).
    """

    architectures = ("bert",)
    causal = False
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
        from transformers import BertConfig, BertModel

        def configuration() -> BertConfig:
            return BertConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                **NO_DROPOUT,
                **words_of(len(vocabulary), longest),
                type_vocab_size=1,
            )

        super().__init__(
            dim,
            BertModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {"layers": layers, "heads": heads, "hidden": hidden, "longest": longest},
            vocabulary=vocabulary,
            options={"add_pooling_layer": False},
        )

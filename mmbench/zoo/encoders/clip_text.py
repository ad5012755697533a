"""The text encoder of CLIP: a causal Transformer trained against images.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
2021 (arXiv 2103.00020), sec. 2.4; transformers' `CLIPTextModel`.
"""

from __future__ import annotations

from mmbench.zoo.encoders.huggingface import HuggingFaceText
from mmbench.zoo.transformers_network import LoRA, Start, transformer_sizes, words_of
from mmbench.zoo.words import Words


class CLIPText(HuggingFaceText):
    """CLIP's text encoder: words and positions through blocks of causal attention; h = norm(x).

    The last token of a checkpoint's text is its end, CLIP's text before its projection
    (`pooling: last`).

    Args:
        dim: width D of the tokens.
        vocabulary: of the task, for a network from nothing.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        longest: the most words that a network from nothing reads; others are cut.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    Shape: (B, L) int64 -> (B, L, D). What is masked comes last.
    """

    architectures = ("clip", "clip_text_model")
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
        from transformers import CLIPTextConfig, CLIPTextModel

        def configuration() -> CLIPTextConfig:
            return CLIPTextConfig(
                **transformer_sizes(dim, hidden, layers, heads),
                # It looks for the end in every text, for a vector that is not read.
                **(words_of(len(vocabulary), longest) | {"eos_token_id": 0}),
            )

        super().__init__(
            dim,
            CLIPTextModel,
            configuration,
            Start(pretrained, revision, unfreeze, lora),
            {"layers": layers, "heads": heads, "hidden": hidden, "longest": longest},
            vocabulary=vocabulary,
        )

"""MiniLM, a small Transformer trained for sentences (extra `pretrained`), by default frozen.

Source: Wang et al., MiniLM, 2020 (arXiv 2002.10957); all-MiniLM-L6-v2 of sentence-transformers
(Reimers and Gurevych 2019, arXiv 1908.10084), whose sentence vector is the mean of these tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.pretrained import minilm, minilm_file, minilm_tokenizer
from mmbench.zoo.encoders.base import mask_of
from mmbench.zoo.encoders.pretrained import PackagedEncoder
from mmbench.zoo.words import padded


class MiniLM(PackagedEncoder):
    """The hidden states of all-MiniLM-L6-v2, projected.

    It has word pieces of its own, at most 256 a text; what is longer is cut.

    Args:
        dim: width D of the tokens.
        frozen: whether the network stays as it is.
        layer: after which of its 6 layers the states are taken.
        unfreeze: what is trained all the same: "none", or "last_2": the last two of these layers.
    Shape: (B, L) int64, numbers of word pieces as `read` gives them -> (B, L, D).
    """

    modality = "text"
    version = 2
    added_with = {"frozen": True, "layer": 6, "unfreeze": "none"}
    at_once = 32

    def __init__(
        self, dim: int, frozen: bool = True, layer: int = 6, unfreeze: str = "none"
    ) -> None:
        def network() -> nn.Module:
            with torch.random.fork_rng(devices=[]):  # the rest starts alike whatever this draws
                whole: Any = minilm()
            layers = whole.encoder.layer
            if not 1 <= layer <= len(layers):
                raise ValueError(f"layer must be from 1 to {len(layers)}, got {layer}")
            whole.encoder.layer = layers[:layer]
            return whole

        file = minilm_file()
        super().__init__(dim, network, file, 384, frozen, unfreeze, {"layer": layer})
        self._tokenizer = minilm_tokenizer()

    def read(self, values: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
        """Word pieces (B, L) of texts and their mask, from [CLS] to [SEP]."""
        return padded([found.ids for found in self._tokenizer.encode_batch(list(map(str, values)))])

    def run(self, network: Any, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        mask = mask_of(x, mask)
        return network(input_ids=x, attention_mask=mask).last_hidden_state, mask

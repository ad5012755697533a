"""MiniLM, a small Transformer trained for sentences (extra `pretrained`), by default frozen.

Source: Wang et al., MiniLM, 2020 (arXiv 2002.10957); all-MiniLM-L6-v2 of sentence-transformers
(Reimers and Gurevych 2019, arXiv 1908.10084), whose sentence vector is the mean of these tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.pretrained import MINILM, minilm, minilm_tokenizer
from mmbench.zoo.encoders.pretrained import PretrainedEncoder


class MiniLM(PretrainedEncoder):
    """The last hidden states of all-MiniLM-L6-v2, projected.

    It has word pieces of its own, at most 256 a text; what is longer is cut.

    Args:
        dim: width D of the tokens.
        frozen: whether the network stays as it is.
    Shape: (B, L) int64, numbers of word pieces as `tokenize` gives them -> (B, L, D).
    """

    modality = "text"
    features = 384
    fingerprint = f"minilm-{MINILM[:12]}-256"
    at_once = 32

    added_with = {"frozen": True}

    def __init__(self, dim: int, frozen: bool = True) -> None:
        with torch.random.fork_rng(devices=[]):  # the rest starts alike whatever this draws
            network = minilm()
        super().__init__(dim, network, frozen)
        self._tokenizer = minilm_tokenizer()

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """See `Encoder`; 0 is padding."""
        rows = [torch.tensor(found.ids) for found in self._tokenizer.encode_batch(list(texts))]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def run(self, network: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `PretrainedEncoder`."""
        mask = x != 0
        return network(input_ids=x, attention_mask=mask).last_hidden_state, mask

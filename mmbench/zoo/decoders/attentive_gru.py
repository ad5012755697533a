"""A gated recurrent unit that looks at the contexts anew before every word.

Source: soft attention of Xu et al., Show, Attend and Tell, 2015 (arXiv 1502.03044), eq. 4-6 and
13, with a gated recurrent unit; its score: Bahdanau et al., 2015 (arXiv 1409.0473), sec. A.1.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.zoo.fusion.base import masked_softmax
from mmbench.zoo.precision import in_float32
from mmbench.zoo.stream import Contexts


class AttentiveGRU(nn.Module):
    """a_t = softmax_i v^T tanh(W c_i + U h_(t-1)); h_t = GRU([x_t; sum_i a_ti c_i], h_(t-1)).

    All tokens of all contexts are looked at together; where there are none, their sum is zero.

    Args:
        dim: width D of words, states and contexts.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seen = nn.Linear(dim, dim, bias=False)
        self.asks = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)
        self.cell = nn.GRUCell(2 * dim, dim)

    def forward(self, x: Tensor, before: Tensor, contexts: Contexts) -> Tensor:
        """States (B, T, D) of words (B, T, D), after the state (B, D) before the first of them."""
        with in_float32(x.device):
            x, hidden = x.float(), before.float()
            there = [context for context in contexts if context is not None]
            tokens = torch.cat([x[:, :0], *(context.clean().float() for context in there)], 1)
            none = torch.zeros(len(x), 0, dtype=torch.bool, device=x.device)
            mask = torch.cat([none, *(context.mask for context in there)], 1)
            seen = self.seen(tokens)
            states = []
            for word in x.unbind(1):
                found = x.new_zeros(x[:, 0].shape)
                if tokens.shape[1]:
                    scores = self.score((seen + self.asks(hidden)[:, None]).tanh())[..., 0]
                    weights = masked_softmax(scores, mask, 1)  # (B, N)
                    found = (weights[:, None] @ tokens)[:, 0]
                hidden = self.cell(torch.cat([word, found], -1), hidden)
                states.append(hidden)
            return torch.stack(states, 1)

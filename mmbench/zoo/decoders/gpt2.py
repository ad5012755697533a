"""GPT-2 that writes text after a prefix that the recipe's fusion makes of the contexts.

Source: GPT-2: Radford et al., Language Models are Unsupervised Multitask Learners, 2019, as
transformers' `GPT2Model`; the prefix: Mokady et al., ClipCap, 2021 (arXiv 2111.09734), sec. 3, with
learnt positions that ask, as the queries of Li et al., BLIP-2, 2023 (arXiv 2301.12597), sec. 3.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.decoders.fused import Decoded, FusedStates, MakeFusion
from mmbench.zoo.decoders.text import WordDecoder
from mmbench.zoo.fusion.base import Fused
from mmbench.zoo.held_network import HoldsNetwork
from mmbench.zoo.stream import Contexts, State
from mmbench.zoo.transformers_network import (
    LoRA,
    Start,
    gpt2_configuration,
    make_network,
    own_sizes_only,
    read_preparation,
    transformer_sizes,
    words_of,
)
from mmbench.zoo.words import Words, padded


class GPT2Decoder(HoldsNetwork, WordDecoder):
    """A prefix language model: GPT-2 after a prefix that the fusion makes of the contexts.

    p_i = q_i + fusion(norm(q_i), contexts) for learnt q_1..q_P; GPT-2 reads [E p_1; ...; words].
    The fusion stands before the first word, so that it need not be causal. A checkpoint has its own
    words, pieces of them, of which two are reckoned a word where a text must end; frozen, it is
    told by its prefix alone what to write.

    Args:
        dim: width D of the contexts and of the prefix.
        vocabulary: of the task, for a network from nothing.
        fusion: makes the recipe's fusion; None writes without looking at any context.
        prefix: P, positions that stand before the words.
        layers, heads, hidden: of a network from nothing; its width is D if `hidden` is not given.
        longest: the most words that it reads, in a network from nothing.
        pretrained, revision, unfreeze, lora: see `mmbench.zoo.transformers_network.Start`.
    """

    architectures = ("gpt2",)
    joins = ("asks", "fused", "enter")
    added_with = {
        "prefix": 8,
        "layers": 2,
        "heads": 4,
        "hidden": None,
        "longest": 64,
        "pretrained": None,
        "revision": None,
        "unfreeze": "none",
        "lora": None,
    }

    def __init__(
        self,
        dim: int,
        vocabulary: Words,
        fusion: MakeFusion,
        prefix: int = 8,
        layers: int = 2,
        heads: int = 4,
        hidden: int | None = None,
        longest: int = 64,
        pretrained: str | None = None,
        revision: str | None = None,
        unfreeze: str = "none",
        lora: LoRA | None = None,
    ) -> None:
        from transformers import GPT2Model

        super().__init__(vocabulary)
        if prefix < 1:
            raise ValueError(f"prefix must be at least 1, got {prefix}")
        start = Start(pretrained, revision, unfreeze, lora)
        own_sizes_only(type(self), start, {"layers": layers, "heads": heads, "hidden": hidden})

        def configuration() -> Any:
            sizes = transformer_sizes(dim, hidden, layers, heads)
            return gpt2_configuration(sizes, words_of(self.end + 1, prefix + longest))

        made = make_network(GPT2Model, configuration, start, self.architectures)
        self.config: Any = made.module.config
        self._tokenizer: Any = None
        if made.checkpoint is not None:
            self._tokenizer = read_preparation(made.checkpoint, "tokenizer")
            self._take_words()
            if (needed := prefix + self.pieces * longest) > self.config.n_positions:
                raise ValueError(
                    f"a text may take {needed} positions with its prefix, and the checkpoint reads "
                    f"{self.config.n_positions}"
                )
        self.hold(made.module, made.trained)
        if fusion is not None:
            self.asks = nn.Parameter(0.02 * torch.randn(prefix, dim))
            self.fused = FusedStates(dim, fusion, causal=False)
            self.enter = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.config.n_embd))
        self._prefix = 0 if fusion is None else prefix

    @property
    def most_words(self) -> int:
        return self.config.n_positions - self._prefix

    def _take_words(self) -> None:
        """Write what the tokenizer has, and nothing of it that is no text."""
        known = self._tokenizer
        if known.eos_token_id is None:
            raise ValueError("the checkpoint's tokenizer has no end of a text (eos_token)")
        self.end = known.eos_token_id
        others = range(len(known), self.config.vocab_size)
        self.never = tuple(sorted({*known.all_special_ids, *others} - {self.end}))
        self.pieces = 2

    def read(self, texts: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
        if self._tokenizer is None:
            return super().read(texts, longest)
        rows = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return padded([row[:longest] for row in rows])

    def spell(self, numbers: Iterable[int]) -> str:
        if self._tokenizer is None:
            return super().spell(numbers)
        return str(self._tokenizer.decode(list(numbers), skip_special_tokens=True)).strip()

    def forward(self, words: Tensor, contexts: Contexts) -> Decoded:
        network = self.network_on(words.device)
        before, calls = self._before(len(words), contexts, network)
        told = torch.cat([before, network.wte(words)], 1)
        self._check_length(told.shape[1])
        states = _run(network, told)
        return self._decoded(states[:, before.shape[1] :], calls, network)

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """Keys and values (B, heads, P, width) of each layer, of the prefix."""
        from transformers import DynamicCache

        network = self.network_on(device)
        before, _ = self._before(batch, contexts, network)
        if not before.shape[1]:
            width = self.config.n_embd // self.config.n_head
            empty = before.new_zeros(batch, self.config.n_head, 0, width)
            return [empty] * (2 * self.config.n_layer)
        kept = DynamicCache()
        _run(network, before, kept)
        return _tensors(kept)

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Decoded, State]:
        from transformers import DynamicCache

        network = self.network_on(words.device)
        self._check_length(state[0].shape[2] + 1)
        kept = DynamicCache()
        for layer in range(len(state) // 2):
            kept.update(state[2 * layer], state[2 * layer + 1], layer)
        states = _run(network, network.wte(words[:, None]), kept, state[0].shape[2])
        return self._decoded(states[:, -1], [], network), _tensors(kept)

    def _before(self, batch: int, contexts: Contexts, network: Any) -> tuple[Tensor, list[Fused]]:
        """The prefix (B, P, width of the network), and what the fusion gave for it."""
        if not self._prefix:
            return network.wte.weight.new_zeros(batch, 0, self.config.n_embd), []
        x, call = self.fused(self.asks.repeat(batch, 1, 1), contexts)
        return self.enter(x), [call]

    def _check_length(self, count: int) -> None:
        if count > self.config.n_positions:
            raise ValueError(
                f"the decoder reads {self.config.n_positions - self._prefix} words at most; raise "
                "`longest`"
            )

    def _decoded(self, states: Tensor, calls: list[Fused], network: Any) -> Decoded:
        return Decoded.of(functional.linear(states, network.wte.weight), calls)


def _run(network: Any, told: Tensor, kept: Any = None, before: int = 0) -> Tensor:
    """States (B, T, F) of vectors (B, T, F), after so many that are kept; it keeps these too.

    Which positions each may see is said here, since transformers would look at their numbers, and
    wait for the device.
    """
    count = told.shape[1]
    seen = torch.ones(count, before + count, dtype=torch.bool, device=told.device).tril(before)
    # What transformers calls `cache` was `past_key_values` in its first versions 5.
    takes = inspect.signature(network.forward).parameters
    cache = {"cache" if "cache" in takes else "past_key_values": kept}
    found = network(
        inputs_embeds=told,
        attention_mask=seen[None, None],
        use_cache=kept is not None,
        **({} if kept is None else cache),
    )
    return found.last_hidden_state


def _tensors(kept: Any) -> State:
    """What a cache of transformers keeps, as tensors (B, ...)."""
    return [part for layer in kept.layers for part in (layer.keys, layer.values)]

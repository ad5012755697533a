"""DALL-E: one Transformer writes the words of a text, then the codes of its image.

Source: Ramesh et al., Zero-Shot Text-to-Image Generation, 2021 (arXiv 2102.12092), sec. 2.2 and
app. B.1: "we model the text and image tokens as a single stream of data", with positions of the
image's tokens by row and column; the text's loss counts 1/8 and the image's 7/8, since it is the
image that is to be modelled. There 24 x 24 codes follow 256 pieces of words, and attention to the
image is sparse; here a position of the image is a square of patches (`CodeDecoder`), few enough
that each sees all before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmbench.zoo.attention import AttentionLayer, left_to_right, stack, step_through
from mmbench.zoo.decoders.autoencoder import AutoencoderSettings
from mmbench.zoo.decoders.codes import CodeDecoder
from mmbench.zoo.decoders.image import Sampling
from mmbench.zoo.stream import Contexts, State, Stream
from mmbench.zoo.words import Words

_OF_TEXT, _OF_IMAGE = 1 / 8, 7 / 8  # weights of the two losses, app. B.1


class DALLE(CodeDecoder):
    """A quantised autoencoder, and one Transformer over the prompt's words and then its codes.

    p(text, image) = prod_i p(z_i | z_<i), with z = [begin; words; image; ground; squares].

    It stands in the place of a fusion: the prompt's tokens are part of its own stream. An encoder
    gives them, each made of its own word or of those before it (`bag_of_words`).

    Args:
        dim: width D.
        vocabulary: of the words that it predicts.
        autoencoder: its sizes.
        size: pixels a side.
        layers, heads: of the Transformer.
        square: patches a side that are one position, written code by code.
        longest: the most words of a prompt that it reads.
        unprompted: share of the training samples whose text is left out; what `sampling.guidance`
            needs, and DALL-E does not have.
    """

    usual = Sampling(guidance=1.0, temperature=1.0)  # type: ignore[call-arg]
    reads_tokens = True
    predicts_words = True
    added_with = {
        "size": 32,
        "layers": 4,
        "heads": 4,
        "square": 2,
        "longest": 64,
        "unprompted": 0.0,
    }

    def __init__(
        self,
        dim: int,
        vocabulary: Words,
        autoencoder: AutoencoderSettings,
        size: int = 32,
        layers: int = 4,
        heads: int = 4,
        square: int = 2,
        longest: int = 64,
        unprompted: float = 0.0,
    ) -> None:
        super().__init__(dim, autoencoder, size, square, unprompted)
        self.end = len(vocabulary)  # what follows the last word

        def vectors(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, dim) * 0.02)

        self.begin_text, self.begin_image = vectors(1), vectors(1)
        self.text_positions = vectors(longest)
        self.ground_position = vectors(1)
        self.rows, self.columns = vectors(self._side), vectors(self._side)
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.word_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, self.end + 1))

    def loss(
        self, found: Tensor, contexts: Contexts, words: Tensor | None = None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """1/8 of the words' mean cross-entropy and 7/8 of the codes'.

        Args:
            found: codes (B, 3 + G*G*C).
            contexts: the words' vectors (B, L, D).
            words: their numbers (B, L) int64; None leaves out their loss.
        """
        contexts = self.dropped(contexts, len(found))
        text = self._text(len(found), contexts)
        image = self._placed(self.places_before(self.begin_image, found))
        z = torch.cat([text.clean(), image], 1)
        there = torch.cat([text.mask, text.mask.new_ones(image.shape[:2])], 1)
        z, _ = self._transform(z, there)
        states = z[:, text.mask.shape[1] :]
        loss = _OF_IMAGE * self.code_loss(states, found)
        if words is not None:
            loss = loss + _OF_TEXT * self._word_loss(z[:, : text.mask.shape[1]], text.mask, words)
        return loss, {}

    def begin(self, rows: int, contexts: Contexts) -> tuple[Tensor, State]:
        text = self._text(rows, contexts)
        _, keys_values = self._transform(text.clean(), text.mask)
        return self.begin_image.detach().expand(rows, 1, -1), [text.mask, *keys_values]

    def step(
        self, inputs: Tensor, place: int, state: State, contexts: Contexts
    ) -> tuple[Tensor, State]:
        here = inputs + self._positions()[place]
        there = inputs.new_ones(len(inputs), 1, dtype=torch.bool)
        states, *state = step_through(self.layers, here, there, state)
        return states, state

    def _text(self, rows: int, contexts: Contexts) -> Stream:
        """Its beginning, then the prompt's words at their positions, (B, 1 + L, D)."""
        begin = Stream.whole(self.begin_text.expand(rows, 1, -1))
        if not contexts or contexts[0] is None:
            return begin
        (words,) = (context for context in contexts if context is not None)
        length = min(words.mask.shape[1], len(self.text_positions))
        tokens = words.tokens[:, :length] + self.text_positions[:length]
        return Stream(
            torch.cat([begin.tokens, tokens], 1), torch.cat([begin.mask, words.mask[:, :length]], 1)
        )

    def _placed(self, before: Tensor) -> Tensor:
        """Inputs (B, 1 + squares, D), each with the position of what it stands for."""
        return before + self._positions()

    def _positions(self) -> Tensor:
        """(1 + squares, D): none of the image's beginning, the ground's, row + column of squares.

        The last square is followed by nothing, so that it is no input.
        """
        squares = (self.rows[:, None] + self.columns).flatten(0, 1)[:-1]
        return torch.cat([torch.zeros_like(self.ground_position), self.ground_position, squares])

    def _transform(self, z: Tensor, there: Tensor) -> tuple[Tensor, list[Tensor]]:
        """z (B, T, D) after all layers, and keys and values of each; none sees a later one."""
        mask = there[:, None] & left_to_right(0, z.shape[1], z.device)
        kept = []
        layer: Any
        for layer in self.layers:
            keys_values = layer.keys_values(z)
            z = layer(z, *keys_values, mask)
            kept += keys_values
        return z, kept

    def _word_loss(self, states: Tensor, there: Tensor, words: Tensor) -> Tensor:
        """Mean cross-entropy of the words (B, L) and of the end after the last.

        Args:
            states: (B, 1 + L, D), of the beginning and the words.
            there: (B, 1 + L), which of them are there; a text that is left out is not predicted.
        """
        length = there.shape[1]
        due = functional.pad(words, (0, 1))[:, :length]
        last = there.sum(1, keepdim=True) - 1
        place = torch.arange(length, device=there.device)
        due = torch.where(place == last, self.end, due)
        due = due.masked_fill(~there | (last == 0), -100)
        logits = self.word_head(states).float()
        found = functional.cross_entropy(logits.flatten(0, 1), due.flatten(), reduction="sum")
        return found / (due >= 0).sum().clamp(min=1)

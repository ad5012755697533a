"""Flamingo: a frozen language model that sees, by gated layers between its own.

Source: Alayrac et al., Flamingo: a Visual Language Model for Few-Shot Learning, 2022 (arXiv
2204.14198), sec. 2 and appendix A.1. What differs: GELU for squared ReLU, no position in time for
the frames of a video, a gated layer's norms are not doubled, and a word before the first image's
place sees the first image, where the paper puts the image's mark before the text.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmbench.zoo.attention import AttentionLayer, extended, stack
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.decoders.text import WordDecoder
from mmbench.zoo.decoders.transformer import TransformerDecoder
from mmbench.zoo.fusion.gated_cross_attention import GatedLayer
from mmbench.zoo.stream import Contexts, State, Stream
from mmbench.zoo.words import IMAGE_PLACE, UNKNOWN, Words

NOWHERE = -1  # the number of a word that no text has


class PerceiverResampler(nn.Module):
    """z <- z + Attention(z, [c; z]), z <- z + MLP(z), by layers: an image as a few tokens z.

    Args:
        dim: width D.
        layers, heads: of the attention.
        latents: R, the tokens, learnt at first, that an image becomes.
    Shape: a stream (B, N, D) -> (B, R, D). Of an image without tokens z attend to themselves alone.
    """

    def __init__(self, dim: int, layers: int, heads: int, latents: int) -> None:
        super().__init__()
        if latents < 1:
            raise ValueError(f"latents must be at least 1, got {latents}")
        self.latents = nn.Parameter(torch.randn(latents, dim) * 0.02)
        self.image_norm = nn.LayerNorm(dim)
        self.layers = stack(layers, lambda: AttentionLayer(dim, heads))
        self.norm = nn.LayerNorm(dim)

    def forward(self, image: Stream) -> Tensor:
        c = self.image_norm(image.clean())
        z = self.latents.expand(len(c), -1, -1)
        mask = torch.cat([image.mask, Stream.whole(z).mask], 1)[:, None]
        layer: Any
        for layer in self.layers:
            keys_values = extended(layer.keys_values(c, norm=False), layer.keys_values(z))
            z = layer(z, *keys_values, mask)
        return self.norm(z)


class FlamingoDecoder(WordDecoder):
    """x <- x + tanh(a) Attention(x, z_i); x <- x + tanh(b) MLP(x); x <- LM layer(x), by layers.

    z_i are the resampled tokens of one image, the last that stands before the word. A text says by
    `IMAGE_PLACE` where the next image stands; a word before the first place sees the first image.
    The gates a and b are 0 at first, so that training begins with the language model as it is. A
    word that no image stands before passes the gated layers by.

    To train it as in the paper, stages train `language` (and the encoder of the images) first,
    and then `resampler` and `gated` alone.

    Args:
        dim: width D of the images' tokens and of the language model.
        vocabulary: of the task.
        contexts: the name of the medium that it sees; none for the language model alone.
        layers, heads: of the language model; the gated layers have as many heads.
        every: a gated layer stands before the first of so many layers of the language model.
        latents: tokens that an image becomes.
        resampler_layers: of the resampler.
        gates: whether there are gates; without, all passes from the start.
        longest: the most words that it reads.
    Shape: contexts (B, K * N, D) of K parts, an image each.
    """

    joins = ("resampler", "gated")
    fuses = True
    joining = ("every", "latents", "resampler_layers", "gates")
    reads_tokens = True
    added_with = {
        "layers": 4,
        "heads": 4,
        "every": 1,
        "latents": 4,
        "resampler_layers": 1,
        "gates": True,
        "longest": 64,
    }

    def __init__(
        self,
        dim: int,
        vocabulary: Words,
        contexts: tuple[str, ...],
        layers: int = 4,
        heads: int = 4,
        every: int = 1,
        latents: int = 4,
        resampler_layers: int = 1,
        gates: bool = True,
        longest: int = 64,
    ) -> None:
        super().__init__(vocabulary)
        if len(contexts) > 1:
            raise ValueError(f"sees one medium, and here there are {' and '.join(contexts)}")
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.language = TransformerDecoder(dim, vocabulary, None, layers, heads, longest)
        (place,) = vocabulary.rows([IMAGE_PLACE])[0]
        self._place = NOWHERE if place == UNKNOWN else place
        self._every = every
        self._latents = latents
        if contexts:
            self.resampler = PerceiverResampler(dim, resampler_layers, heads, latents)
            made = GatedLayer if gates else AttentionLayer
            self.gated = stack(-(-layers // every), lambda: made(dim, heads))

    @property
    def most_words(self) -> int:
        return self.language.most_words

    def forward(self, words: Tensor, contexts: Contexts) -> Decoded:
        x = self.language.placed(words, 0)
        images = self._images(contexts)
        seen = self._seen((words == self._place).cumsum(1), images)
        for number, block in enumerate(self.language.blocks):
            x = self._look(number, x, images, seen)
            x, _ = block(x, [])
        return self.language.decoded(x, [])

    def begin(self, batch: int, device: torch.device, contexts: Contexts) -> State:
        """How many places of images there were, (B,); what the language model keeps; which images
        there are (B, K) and their keys and values (B, K * R, D) of each gated layer, if any.
        """
        places = torch.zeros(batch, dtype=torch.long, device=device)
        return [places, *self.language.begin(batch, device, []), *self._images(contexts)]

    def step(self, words: Tensor, state: State, contexts: Contexts) -> tuple[Decoded, State]:
        told = 1 + 2 * len(self.language.blocks)
        places = state[0] + (words == self._place)
        past, images = state[1:told], state[told:]
        seen = self._seen(places[:, None], images)
        x = self.language.placed(words[:, None], past[0].shape[1])
        kept: State = []
        block: Any
        for number, block in enumerate(self.language.blocks):
            x = self._look(number, x, images, seen)
            x, _, new = block.step(x, past[2 * number : 2 * number + 2], [])
            kept += new
        return self.language.decoded(x[:, -1], []), [places, *kept, *images]

    def _images(self, contexts: Contexts) -> State:
        """Which images there are (B, K), and keys and values for each gated layer; or nothing."""
        stream = next((context for context in contexts if context is not None), None)
        if stream is None:
            return []
        count, images = stream.parts, stream.apart()
        z = self.resampler(images).unflatten(0, (-1, count)).flatten(1, 2)  # (B, K * R, D)
        found = [images.present.unflatten(0, (-1, count))]
        layer: Any
        for layer in self.gated:
            found += layer.keys_values(z, norm=False)
        return found

    def _seen(self, places: Tensor, images: State) -> Tensor | None:
        """Of which image each word may see the tokens, (B, T, K * R), of places so far (B, T)."""
        if not images:
            return None
        there = images[0]
        last = places.clamp(min=1).minimum(there.sum(1, keepdim=True))  # 0 where there is none
        number = torch.arange(1, there.shape[1] + 1, device=places.device)
        seen = (last[..., None] == number) & there[:, None]
        return seen.repeat_interleave(self._latents, -1)

    def _look(self, number: int, x: Tensor, images: State, seen: Tensor | None) -> Tensor:
        """The states (B, T, D) after the gated layer before one of the language model, if any."""
        at, rest = divmod(number, self._every)
        if seen is None or rest:
            return x
        keys, values = images[1 + 2 * at : 3 + 2 * at]
        found = self.gated[at](x, keys, values, seen)
        return torch.where(seen.any(-1, keepdim=True), found, x)

"""How text is written with a decoder: greedily, by beam search, or by nucleus sampling.

What is written for one sample does not depend on the others of its batch.

Source: nucleus sampling: Holtzman et al., The Curious Case of Neural Text Degeneration, 2020
(arXiv 1904.09751); beam search with its length penalty: Wu et al. 2016 (arXiv 1609.08144), eq. 14
without the offset: the log-probability over length ** penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mmbench.computing import summed_up
from mmbench.yaml_file import Settings
from mmbench.zoo.decoders.text import TextDecoder
from mmbench.zoo.stream import Contexts


class Search(Settings):
    """How to write.

    Attributes:
        kind: "greedy" takes the likeliest word, "beam" keeps several texts, "nucleus" draws.
        beams: texts kept by beam search; one that ends takes its place along.
        length_penalty: 0 prefers short texts; 1 compares the mean log-probability of a word.
        top_p: nucleus sampling draws among the likeliest words of this total probability.
        temperature: of the probabilities that are drawn from.
    """

    kind: Literal["greedy", "beam", "nucleus"] = "greedy"
    beams: int = Field(3, ge=1)
    length_penalty: float = Field(1.0, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    temperature: float = Field(1.0, gt=0)


def write(
    decoder: TextDecoder,
    contexts: Contexts,
    batch: int,
    *,
    longest: int,
    search: Search,
    seeds: Sequence[int],
) -> list[list[int]]:
    """The words written for each of B samples, without the end.

    Args:
        decoder: in evaluation mode.
        contexts: streams (B, N, D), or None.
        batch: B.
        longest: the most words of a text.
        search: how.
        seeds: (B,), of the draws of each sample.
    """
    if search.kind == "beam":
        return _beam(decoder, contexts, batch, longest, search)
    device = next(decoder.parameters()).device
    draws = None
    if search.kind == "nucleus":
        rows = [torch.rand(longest, generator=torch.Generator().manual_seed(s)) for s in seeds]
        draws = torch.stack(rows).to(device)
    end = decoder.end
    words = torch.full((batch,), end, device=device)
    state = decoder.begin(batch, device, contexts)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    written = []
    for place in range(longest):
        decoded, state = decoder.step(words, state, contexts)
        logits = decoded.logits
        logits[:, list(decoder.never)] = -torch.inf
        if draws is None:
            words = logits.argmax(-1)
        else:
            words = draw(logits.float(), draws[:, place], search)
        done |= words == end
        if bool(done.all()):
            break
        written.append(words)
    rows_of = torch.stack(written, 1).tolist() if written else [[] for _ in range(batch)]
    return [row[: row.index(end)] if end in row else row for row in rows_of]


def draw(logits: Tensor, uniform: Tensor, search: Search) -> Tensor:
    """Words (B,) of the nucleus, by the place where a uniform number falls.

    Args:
        logits: (B, V).
        uniform: (B,), from 0 to 1.
        search: its temperature and nucleus.
    """
    chances, order = (logits / search.temperature).softmax(-1).sort(-1, descending=True)
    below = summed_up(chances) - chances  # of likelier words
    chances = chances * (below < search.top_p)  # the likeliest is always there
    reached = summed_up(chances) > uniform[:, None] * chances.sum(-1, keepdim=True)
    return order.gather(1, reached.int().argmax(-1, keepdim=True))[:, 0]


def _beam(
    decoder: TextDecoder,
    contexts: Contexts,
    batch: int,
    longest: int,
    search: Search,
) -> list[list[int]]:
    device = next(decoder.parameters()).device
    beams, end = search.beams, decoder.end
    rows = torch.arange(batch, device=device).repeat_interleave(beams)
    contexts = [None if c is None else c.take(rows) for c in contexts]
    state = decoder.begin(batch * beams, device, contexts)
    words = torch.full((batch * beams,), end, device=device)
    texts = torch.zeros(batch, beams, 0, dtype=torch.long, device=device)
    scores = torch.full((batch, beams), -torch.inf, device=device)
    scores[:, 0] = 0.0  # all beams are alike at first: only one counts
    exact = torch.float32 if device.type == "mps" else torch.float64  # which "mps" lacks
    best = torch.full((batch,), -torch.inf, dtype=exact, device=device)
    best_texts = torch.full((batch, longest + 1), end, device=device)  # each up to its first end
    for length in range(1, longest + 2):
        decoded, state = decoder.step(words, state, contexts)
        logits = decoded.logits.float()
        logits[:, list(decoder.never)] = -torch.inf
        chances = logits.log_softmax(-1)
        if length > longest:  # no more words: every text ends here
            others = torch.arange(logits.shape[1], device=device) != end
            chances = chances.masked_fill(others, -torch.inf)
        total = scores[..., None] + chances.view(batch, beams, -1)
        scores, chosen = total.flatten(1).topk(beams)
        beam, word = chosen // total.shape[-1], chosen % total.shape[-1]
        texts = texts.gather(1, beam[..., None].expand_as(texts))
        ended = word == end  # among the likeliest: its text is whole, and leaves the beams
        first = ended.int().argmax(1)[:, None]  # the likeliest of them
        values = scores.masked_fill(~ended, -torch.inf).gather(1, first)[:, 0].to(exact)
        values = values / length**search.length_penalty
        better = values > best
        best = torch.where(better, values, best)
        text = texts.gather(1, first[..., None].expand(-1, -1, length - 1))[:, 0]
        best_texts[:, : length - 1] = torch.where(
            better[:, None], text, best_texts[:, : length - 1]
        )
        scores = scores.masked_fill(ended, -torch.inf)
        # What is still open can at best keep its log-probability until the longest length.
        hope = scores.amax(1) / (longest + 1) ** search.length_penalty
        if length > longest or bool((hope <= best).all()):
            break
        texts = torch.cat([texts, word[..., None]], 2)
        kept = (torch.arange(batch, device=device)[:, None] * beams + beam).flatten()
        state = [part.index_select(0, kept) for part in state]
        words = word.flatten()
    return [row[: row.index(end)] for row in best_texts.tolist()]

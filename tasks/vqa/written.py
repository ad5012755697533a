"""VQA with answers that are written: a text decoder reads the question and goes on with the answer.

Source: Alayrac et al., Flamingo, 2022 (arXiv 2204.14198), eq. 1, where the whole text is learnt;
answers as texts: Cho et al., Unifying Vision-and-Language Tasks via Text Generation, 2021 (arXiv
2102.02779), sec. 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mmbench.compose import ComposedModel, forms_of
from mmbench.data.sample import Query, Sample
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.model import Batch, Losses
from mmbench.parts import build_text_decoder
from mmbench.recipe import Recipe
from mmbench.zoo.fusion.base import QUERY
from mmbench.zoo.words import padded
from mmbench_tasks.vqa.task import most_frequent

MEDIA = ("image", "video", "audio")
LONGEST_QUESTION = 64  # words that are read; longer ones lose their first
NOTHING = -100  # a target where there is no word: no loss


class WrittenModel(ComposedModel):
    """Encoders of media -> a text decoder, which reads the question and writes the answer.

    It is trained on question and answer, as a language model; a recipe's `losses: {question: 0}`
    leaves the answer alone. Any text may be an answer: what is written is greedy, and as long as
    the longest answer of training at most.

    Args:
        recipe: resolved, without an encoder of text.
        words: the vocabulary of the questions.
        answers: those of training.
    """

    answers_at_once = False

    def __init__(self, recipe: Recipe, words: list[str], answers: list[str]) -> None:
        known = dict.fromkeys([*words, *Vocabulary.of(answers).words])
        super().__init__(recipe, MEDIA, Vocabulary(list(known)))
        assert recipe.decoder is not None  # a resolved recipe has one
        if recipe.encoders.get("text") is not None:
            raise MMBenchError(
                f"the decoder {recipe.decoder.name} reads the question itself: set encoders.text "
                "to null"
            )
        contexts = list(self.encoders)
        longest = max(map(len, self.vocabulary.rows(answers)), default=1)
        options = recipe.decoder.options
        pieces = 1 + LONGEST_QUESTION + longest
        self.decoder = build_text_decoder(recipe, options, contexts, self.vocabulary, pieces)
        self.fused_contexts = tuple(contexts)
        self._longest = longest * self.decoder.pieces
        self._weight = recipe.losses.get("question", 1.0)
        self.reads(forms_of(self.decoder, [QUERY, *contexts]))
        self.count_shares(self.decoder, ["text", *contexts])

    def collate(self, queries: Sequence[Query]) -> Batch:
        """Returns: see `ComposedModel.inputs`; and `words` (B, L), the end that begins a text and
        the question, with `words_mask`.
        """
        words, mask = padded(self._questions(queries))
        return self.inputs(queries) | {"words": words, "words_mask": mask}

    def collate_training(self, samples: Sequence[Sample], rng: np.random.Generator) -> Batch:
        """Returns: see `ComposedModel.inputs`; `words` (B, L), which go on with the answer; and
        `following` and `following_question` (B, L), the word after each where it is the answer's,
        the end included, or the question's. It draws nothing.
        """
        questions = self._questions(samples)
        right = [most_frequent(sample.target) for sample in samples]
        numbers, there = self.decoder.read(right, self._longest)
        answers = [row[mask].tolist() for row, mask in zip(numbers, there, strict=True)]
        end, nothing = [self.decoder.end], [NOTHING]
        rows = [(q, a) for q, a in zip(questions, answers, strict=True)]
        words, _ = padded([q + a for q, a in rows])
        asked = [nothing * (len(q) - 1) + a + end for q, a in rows]
        told = [q[1:] + nothing * (len(a) + 1) for q, a in rows]
        batch = {"following": asked, "following_question": told}
        following = {
            name: numbers.masked_fill(~mask, NOTHING)
            for name, (numbers, mask) in ((name, padded(part)) for name, part in batch.items())
        }
        return self.inputs(samples) | {"words": words} | following

    def losses(self, batch: Batch, label_smoothing: float = 0.0) -> Losses:
        """Cross-entropy of each next word of the answer, and of the question."""
        decoded = self.decoder(batch["words"], self.contexts(batch))
        logits = decoded.logits.flatten(0, 1).float()

        def of(following: Tensor) -> Tensor:
            return functional.cross_entropy(
                logits,
                following.flatten(),
                ignore_index=NOTHING,
                label_smoothing=label_smoothing,
            )

        own = {"answer": of(batch["following"])}
        if self._weight:
            own["question"] = self._weight * of(batch["following_question"])
        return self.weighed(own, decoded.losses)

    def terms(self, batch: Batch) -> Mapping[str, Tensor | int]:
        """The words of the answers, and of the questions."""
        names = {"answer": "following", "question": "following_question"}
        counts = {n: (batch[key] != NOTHING).sum() for n, key in names.items()}
        return {"": len(batch["words"]), **counts}

    def answer(self, batch: Batch) -> list[str]:
        """The likeliest word after the question, and so on up to the end."""
        words, lengths = batch["words"], batch["words_mask"].sum(1, keepdim=True)
        contexts = self.contexts(batch)
        rows = len(words)
        words = torch.cat([words, words.new_zeros(rows, self._longest)], 1)
        done = torch.zeros(rows, 1, dtype=torch.bool, device=words.device)
        written = []
        for place in range(self._longest):
            # What stands behind a word changes nothing at it, so that rows may differ in length.
            here = words[:, : words.shape[1] - self._longest + place]
            at = (lengths + place - 1)[..., None]
            logits = self.decoder(here, contexts).logits
            logits = logits.gather(1, at.expand(-1, -1, logits.shape[-1]))[:, 0]
            logits[:, list(self.decoder.never)] = -torch.inf
            following = logits.argmax(-1, keepdim=True)
            written.append(following)
            done |= following == self.decoder.end
            if bool(done.all()):
                break
            words = words.scatter(1, lengths + place, following)
        end = self.decoder.end
        texts = torch.cat(written, 1).tolist()
        return [self.decoder.spell(t[: t.index(end)] if end in t else t) for t in texts]

    def _questions(self, queries: Sequence[Query]) -> list[list[int]]:
        """The end that begins a text and the numbers of each question's words."""
        most = LONGEST_QUESTION * self.decoder.pieces
        texts = [str(query.inputs["text"]) for query in queries]
        numbers, there = self.decoder.read(texts, max(map(len, texts), default=1))
        return [
            [self.decoder.end, *row[mask].tolist()[-most:]]
            for row, mask in zip(numbers, there, strict=True)
        ]

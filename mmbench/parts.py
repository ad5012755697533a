"""Builds the parts that a recipe names, and refuses what cannot work before anything is trained."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.recipe import FUSION_KINDS, Part, Recipe
from mmbench.sharing import shared_now
from mmbench.zoo.decoders.text import TextDecoder
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.given import mistaken, tell_failure
from mmbench.zoo.part import build_part, part_class
from mmbench.zoo.pooling import Kind, make_pooling
from mmbench.zoo.stream import Stream
from mmbench.zoo.words import Words


def build_encoder(modality: str, part: Part, width: int, vocabulary: Words) -> Encoder:
    """The encoder that a recipe names for a modality, with the pooling that it asks for.

    Models of several tasks that are built together share it (`mmbench.sharing`).

    Raises: MMBenchError for one of another modality or of an earlier contract, an unknown pooling,
        whatever `build_part` refuses, or one that cannot be shared.
    """
    if (shared := shared_now()) is None:
        return _new_encoder(modality, part, width, vocabulary)
    options = ", ".join(f"{key}={value}" for key, value in part.options.items())
    words = f"{part.name} of width {width}" + (f" with {options}" if options else "")
    asked = words, part, len(vocabulary)
    return shared.encoder(modality, asked, lambda: _new_encoder(modality, part, width, vocabulary))


def _new_encoder(modality: str, part: Part, width: int, vocabulary: Words) -> Encoder:
    cls = part_class("encoders", part.name)
    takes = inspect.signature(cls.forward).parameters
    if not issubclass(cls, Encoder) or len(takes) < 3 or _annotated(cls, "vocabulary") is int:
        raise MMBenchError(
            f"the encoder {part.name} is written for an earlier contract: it must be an `Encoder` "
            "whose `forward` takes (x, mask) and whose `read` makes both of what samples hold; "
            "`vocabulary` is the words themselves, no longer their number"
        )
    options = dict(part.options)
    pooling = options.pop("pooling", None)
    encoder = build_part("encoders", part.name, options, dim=width, vocabulary=vocabulary)
    if not hasattr(encoder, "modality"):
        raise MMBenchError(
            f"the encoder {part.name} does not say what it reads: its class needs a `modality`, "
            '"image", "video", "audio" or "text"'
        )
    if encoder.modality != modality:
        raise MMBenchError(
            f"the encoder for {modality} reads {encoder.modality}: in place of {part.name}, choose "
            f"one of `mmbench list encoders` that reads {modality}"
        )
    if pooling is not None:
        if pooling not in typing.get_args(Kind):
            known = ", ".join(typing.get_args(Kind))
            raise MMBenchError(
                f"encoders.{modality}.pooling must be one of {known}, got {pooling!r}"
            )
        encoder.pooling = make_pooling(pooling, encoder.dim)
    return encoder


def build_fusion(recipe: Recipe, contexts: Sequence[str]) -> Fusion:
    """The recipe's fusion for these context modalities.

    Models of several tasks that are built together share one (`mmbench.sharing`).

    Raises: MMBenchError if it names none, one that joins decisions, one that is not defined for so
        many contexts, or one of an earlier contract.
    """
    if recipe.fusion is None:
        raise MMBenchError("this recipe joins several modalities: it needs a fusion")
    name = recipe.fusion.name
    if fuses_late(recipe):
        raise MMBenchError(
            f"{name} joins the decisions of a classifier per modality, which this task does not "
            "have. Choose one of `mmbench list fusions`"
        )
    cls = part_class("fusions", name)
    check_fusion_class(name, cls)
    if cls.most_contexts is not None and len(contexts) > cls.most_contexts:
        raise MMBenchError(
            f"the fusion {name} is defined for at most {cls.most_contexts} modalities beside the "
            f"query; here there are {len(contexts)}: {', '.join(contexts)}"
        )
    if (shared := shared_now()) is not None:
        return shared.fusion(cls, recipe.width, contexts)
    try:
        fusion = build_part(
            "fusions", name, recipe.fusion.options, dim=recipe.width, contexts=tuple(contexts)
        )
    except TypeError as error:
        if _annotated(cls, "contexts") is not None:
            raise
        raise _earlier(name, f"its constructor fails on names ({error})") from error
    _check_weights(recipe, fusion)
    _try_out(fusion, recipe.width)
    return fusion


def build_classifier(part: Part, width: int, classes: int) -> nn.Module:
    """The decoder of classes that a recipe names: a stream (B, T, D) -> logits (B, classes).

    Raises: MMBenchError for whatever `build_part` refuses, or one that gives anything else.
    """
    decoder: nn.Module = build_part("decoders", part.name, part.options, dim=width, classes=classes)
    zeros = Stream.whole(torch.zeros(1, 1, width))
    was_training = decoder.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            logits = decoder.eval()(zeros)
        except Exception as error:
            tell_failure(decoder, error, f"a Stream (1, 1, {width})")
            raise
    decoder.train(was_training)
    if not isinstance(logits, Tensor) or logits.shape != (1, classes):
        raise mistaken(decoder, logits, f"a Tensor of logits (1, {classes})")
    return decoder


def build_text_decoder(
    recipe: Recipe,
    options: Mapping[str, Any],
    contexts: Sequence[str],
    vocabulary: Words,
    longest: int,
) -> TextDecoder:
    """The recipe's decoder, which writes text, with the fusion that joins the contexts to it.

    Args:
        recipe: resolved.
        options: the decoder's.
        contexts: the names of the media that it is handed.
        vocabulary: of the texts.
        longest: the most words that it reads.
    Raises: MMBenchError if it writes no text, or there is no fusion where one is needed, or one
        where none is.
    """
    assert recipe.decoder is not None  # a resolved recipe has one
    name = recipe.decoder.name
    if getattr(registry.load("decoders", name), "fuses", False):
        if recipe.fusion is not None:
            raise MMBenchError(
                f"the decoder {name} joins the media by layers of its own, and the recipe names "
                f"the fusion {recipe.fusion.name} besides: set fusion to null"
            )
    elif bool(contexts) != bool(recipe.fusion):
        raise MMBenchError(
            "a recipe that writes texts needs a fusion and at least one encoder, or (a language "
            f"model) neither; it has {len(contexts)} encoders and "
            f"{recipe.fusion.name if recipe.fusion else 'no fusion'}"
        )
    decoder = build_part(
        "decoders",
        name,
        options,
        dim=recipe.width,
        vocabulary=vocabulary,
        fusion=(lambda: build_fusion(recipe, contexts)) if contexts else None,
        contexts=tuple(contexts),
        longest=longest,
    )
    if not isinstance(decoder, TextDecoder):
        raise MMBenchError(f"the decoder {name} writes no text")
    return decoder


def fuses_late(recipe: Recipe) -> bool:
    """Whether the recipe's fusion joins decisions."""
    return recipe.fusion is not None and fusion_kind(recipe.fusion.name) == "late_fusions"


def fusion_kind(name: str) -> str:
    """The registry's kind of what a recipe's `fusion` names.

    Raises: MMBenchError naming the nearest name if there is none called so.
    """
    return registry.kind_of(name, FUSION_KINDS)


def build_late_fusion(recipe: Recipe, modalities: Sequence[str], classes: int | None) -> LateFusion:
    """The recipe's fusion of decisions.

    Args:
        recipe: whose fusion is one.
        modalities: names, in the order of the logits.
        classes: how many there are; None where each sample has choices of its own.
    Raises: MMBenchError for whatever `build_part` refuses.
    """
    assert recipe.fusion is not None
    known: dict[str, Any] = {} if classes is None else {"classes": classes}
    fusion = build_part(
        "late_fusions",
        recipe.fusion.name,
        recipe.fusion.options,
        modalities=tuple(modalities),
        **known,
    )
    _check_weights(recipe, fusion)
    return fusion


def check_fusion_class(name: str, cls: type[Any]) -> None:
    """Refuse a class that is no fusion, or of an earlier contract.

    Raises: MMBenchError that says what the contract asks for now.
    """
    if not issubclass(cls, Fusion):
        raise _earlier(name, "it is not a subclass of mmbench.zoo.fusion.base.Fusion")
    if _annotated(cls, "contexts") is int:
        raise _earlier(name, "its constructor takes the number of contexts")
    for attribute in ("query_form", "context_form", "causal"):
        if not hasattr(cls, attribute):
            raise _earlier(name, f"it does not say its `{attribute}`")


def _earlier(name: str, why: str) -> MMBenchError:
    return MMBenchError(
        f"the fusion {name} is written for an earlier contract: {why}. Now it says `query_form`, "
        "`context_form` and `causal`, its constructor takes (dim, contexts: Sequence[str]), the "
        "contexts' names, and it returns Fused(stream)"
    )


def _annotated(cls: type[Any], parameter: str) -> Any:
    return typing.get_type_hints(cls.__init__).get(parameter)


def _check_weights(recipe: Recipe, fusion: Fusion | LateFusion) -> None:
    """Raise if the recipe weighs a loss that nothing gives."""
    known = ("task", *fusion.auxiliary)
    for name in recipe.losses:
        if name not in known:
            raise MMBenchError(
                f"the recipe weighs a loss '{name}', which {type(fusion).__name__} does not give: "
                f"it can weigh {', '.join(known)}"
            )


def _try_out(fusion: Fusion, width: int) -> None:
    """Fuse zeros once, so that what does not keep the contract is refused before training."""
    zeros = Stream.whole(torch.zeros(1, 1, width))
    was_training = fusion.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        fusion.eval()(zeros, [zeros for _ in fusion.contexts])
    fusion.train(was_training)

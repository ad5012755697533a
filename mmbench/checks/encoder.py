"""What every encoder must keep: see `mmbench.zoo.encoders.base.Encoder`.

Each check is a function of a way to make one: `make(seed)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench import registry
from mmbench.checks.contract import Make, require, require_close, require_finite, shape
from mmbench.data.words import Vocabulary
from mmbench.parts import build_encoder
from mmbench.recipe import Part
from mmbench.zoo.encoders.base import Encoder
from mmbench.zoo.stream import Stream

D, BATCH = 16, 3
_TEXTS = ["word3 word1", "word2"]
_SIZES = {"image": (64, 48, 3), "video": (8, 32, 32, 3), "audio": (2000,)}


class Held:
    """What a sample holds of a medium."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self._values = values

    def array(self) -> np.ndarray[Any, Any]:
        """As a medium gives it."""
        return self._values


def encoder_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to make an encoder: `make(seed=0)`, in evaluation mode.

    Args:
        name: registered, or `module:Class`.
        options: as a recipe has them.
        width: of its stream; 16 if None.
    """
    vocabulary = Vocabulary([f"word{n}" for n in range(28)])
    modality = getattr(registry.load("encoders", name), "modality", "")

    def make(seed: int = 0) -> Encoder:
        torch.manual_seed(seed)
        part = Part(name=name, options=dict(options))
        return build_encoder(modality, part, width or D, vocabulary).eval()

    return make


def inputs(modality: str, batch: int = BATCH) -> Tensor:
    """A random batch of a modality, as `read` gives it."""
    generator = torch.Generator().manual_seed(0)
    if modality == "image":
        return torch.randint(0, 256, (batch, 3, 64, 64), generator=generator, dtype=torch.uint8)
    if modality == "video":
        size = (batch, 16, 3, 32, 32)
        return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    if modality == "audio":
        return torch.randint(-9000, 9000, (batch, 2000), generator=generator, dtype=torch.int16)
    return torch.randint(2, 30, (batch, 7), generator=generator)


def mask_of(modality: str, batch: int = BATCH) -> Tensor | None:
    """Of texts the last words of the second are masked; of other media all is there."""
    if modality != "text":
        return None
    mask = torch.ones(batch, 7, dtype=torch.bool)
    mask[1:2, 4:] = False
    return mask


def encoded(module: Encoder) -> Stream:
    """The stream of a random batch."""
    found: Stream = module(inputs(module.modality), mask_of(module.modality))
    return found


def check_shapes(make: Make) -> None:
    """It gives a stream of its width: a row a sample, a mask that says what is there, no NaN."""
    module = make()
    stream = encoded(module)
    require(isinstance(stream, Stream), f"`forward` gives a {type(stream).__name__}, not a Stream")
    rows, _, width = shape(stream.tokens)
    require(rows == BATCH, f"of {BATCH} samples it gives {rows} rows")
    require(width == module.dim, f"tokens are {width} wide, and its `dim` is {module.dim}")
    require_finite(stream.tokens[stream.mask], "the tokens")
    mask = mask_of(module.modality)
    kept = bool(stream.mask.all()) if mask is None else torch.equal(stream.mask, mask)
    require(kept, "the mask does not say which positions are there")


def check_reading(make: Make) -> None:
    """`read` makes of what samples hold what `forward` takes."""
    module = make()
    if module.modality == "text":
        x, mask = module.read(_TEXTS)
        require(
            mask is not None and mask.shape == x.shape, "`read` gives texts no mask of their shape"
        )
    else:
        values = np.zeros(_SIZES[module.modality], np.int16 if module.modality == "audio" else "u1")
        x, mask = module.read([Held(values), Held(values)])
    rows = module(x, mask).tokens.shape[0]
    require(rows == 2, f"of two samples that are read it gives {rows} rows")


def check_input_kept(make: Make) -> None:
    """It leaves its input as it is, which may be where the dataset's media are kept."""
    module = make()
    x, mask = inputs(module.modality), mask_of(module.modality)
    before = x.clone()
    module(x, mask)
    require(torch.equal(x, before), "`forward` changes what it is given")


def check_independence(make: Make) -> None:
    """A sample's tokens do not depend on the others of its batch."""
    module = make()
    x, mask = inputs(module.modality), mask_of(module.modality)
    alone = module(x[1:2], None if mask is None else mask[1:2])
    require_close(module(x, mask).pool()[1:2], alone.pool(), "a sample in a batch, and alone", 2e-5)


def check_masks(make: Make) -> None:
    """What is masked of a text changes nothing, whatever stands there."""
    module = make()
    if module.modality != "text":
        return
    x = inputs("text")[:1]
    mask = torch.arange(11)[None] < 7
    for padding in (0, 1, 17):
        padded = torch.cat([x, torch.full((1, 4), padding)], dim=1)
        require_close(
            module(x).pool(),
            module(padded, mask).pool(),
            f"a text, and the same with masked positions of word {padding}",
            2e-5,
        )


def check_inputs_matter(make: Make) -> None:
    """Another input gives another stream."""
    module = make()
    pooled = encoded(module).pool()
    require(not torch.allclose(pooled[0], pooled[2]), "two inputs give the same vector")


def check_parameters(make: Make) -> None:
    """Every parameter that is trained gets a gradient."""
    module = make().train()
    pooled = encoded(module).pool()
    total = (pooled * torch.randn_like(pooled)).sum()
    if total.requires_grad:
        total.backward()
    for key, parameter in module.named_parameters():
        unused = parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
        require(
            not (parameter.requires_grad and unused),
            f"the parameter {key} gets no gradient: nothing uses it",
        )


def check_saved_state(make: Make) -> None:
    """A model made with another seed gives the same once it has the saved tensors."""
    one, other = make(seed=0), make(seed=1)
    other.load_state_dict(one.state_dict())
    require_close(
        encoded(one).pool(), encoded(other).pool(), "an encoder, and another one with its tensors"
    )


def check_determinism(make: Make) -> None:
    """In evaluation mode the same input gives the same stream, whatever is drawn elsewhere."""
    module = make()
    one = encoded(module).tokens
    torch.manual_seed(77)
    same = torch.equal(one, encoded(module).tokens)
    require(same, "the same input gives two streams in evaluation mode")


CHECKS = (
    check_shapes,
    check_reading,
    check_input_kept,
    check_independence,
    check_masks,
    check_inputs_matter,
    check_parameters,
    check_saved_state,
    check_determinism,
)

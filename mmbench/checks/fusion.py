"""What every fusion must keep, whoever wrote it: see `mmbench.zoo.fusion.base.Fusion`.

Each check is a function of a way to make a fusion: `make(contexts, seed)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.checks.contract import Make, require, require_close, require_finite, shape
from mmbench.errors import MMBenchError
from mmbench.parts import check_fusion_class
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.part import build_part, part_class
from mmbench.zoo.stream import Stream

B, T, D = 3, 4, 8
NAMES = ("image", "audio", "video")
_OTHER_WIDTHS = (12, 16, 64, 128)  # for what cannot be of width D


def fusion_maker(name: str, options: Mapping[str, Any], width: int | None = None) -> Make:
    """A way to make a fusion: `make(contexts=2, seed=0)`, in evaluation mode.

    What is checked holds for any weights: a gate that starts at 0 would hide what is behind it, so
    all are moved a little.

    Args:
        name: registered, or `module:Class`.
        options: of the fusion, as a recipe has them.
        width: of its streams; the first of a few that it can have if None.
    """
    cls = part_class("fusions", name)
    check_fusion_class(name, cls)
    most = getattr(cls, "most_contexts", None)

    def build(contexts: int, dim: int) -> Fusion:
        found: Fusion = build_part("fusions", name, options, dim=dim, contexts=NAMES[:contexts])
        return found

    def make(contexts: int = 2, seed: int = 0) -> Fusion:
        contexts = contexts if most is None else min(contexts, most)
        torch.manual_seed(seed)
        return shaken(build(contexts, width or _width(build)))

    return make


def _width(build: Any) -> int:
    """The first width that a fusion can have.

    Raises: MMBenchError, that of the last, if it can have none.
    """
    for dim in (D, *_OTHER_WIDTHS[:-1]):
        try:
            build(1, dim)
        except MMBenchError:
            continue
        return dim
    return _OTHER_WIDTHS[-1]


def shaken(module: Fusion) -> Fusion:
    """The module in evaluation mode, with each parameter moved a little."""
    module.eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def stream(length: int, seed: int, mask: Tensor | None = None, dim: int = D) -> Stream:
    """A random stream (B, length, dim), all of it there unless a mask says otherwise."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(B, length, dim, generator=generator)
    return Stream(tokens, torch.ones(B, length, dtype=torch.bool) if mask is None else mask)


def query_of(module: Fusion, seed: int = 1, mask: Tensor | None = None) -> Stream:
    """A random query (B, T, D) for a fusion."""
    return stream(T, seed, mask, module.dim)


def streams(module: Fusion, lengths: Sequence[int] = (5, 6, 7)) -> list[Stream]:
    """A random context stream for each of a fusion's contexts."""
    return [stream(lengths[i], 2 + i, dim=module.dim) for i in range(len(module.contexts))]


def check_shapes(make: Make) -> None:
    """The output stands on the query's positions with its mask; losses are declared scalars."""
    for contexts in (1, 2, 3):
        module = make(contexts).train()
        query = query_of(module)
        fused = module(query, streams(module))
        at = f"with {len(module.contexts)} contexts"
        require(isinstance(fused, Fused), f"`forward` gives a {type(fused).__name__}, not a Fused")
        found = shape(fused.stream.tokens)
        require(
            found == (B, T, module.dim), f"tokens are {found}, due are {(B, T, module.dim)}, {at}"
        )
        require(torch.equal(fused.stream.mask, query.mask), f"the mask is not the query's, {at}")
        require(
            set(fused.losses) == set(module.auxiliary),
            f"in training it gives the losses {sorted(fused.losses)} and declares "
            f"{sorted(module.auxiliary)} (`auxiliary`)",
        )
        for key, loss in fused.losses.items():
            require(loss.ndim == 0, f"the loss {key} is {shape(loss)}, due is a scalar")
            require_finite(loss, f"the loss {key}")
        if fused.shares is not None:
            due = (B, T, len(module.modalities))
            require(
                shape(fused.shares) == due,
                f"shares are {shape(fused.shares)}, due are {due}: of the query, then each context",
            )
            require_finite(fused.shares, "the shares")


def check_missing(make: Make) -> None:
    """A missing context gives numbers and gradients, as one that is masked for all does."""
    everyone = range(len(make().contexts))
    for absent in (*([i] for i in everyone), list(everyone)):
        module = make()
        names = " and ".join(module.contexts[i] for i in absent)
        there = streams(module)
        contexts = [None if i in absent else c for i, c in enumerate(there)]
        masked = [
            Stream(c.tokens * float("nan"), torch.zeros_like(c.mask)) if i in absent else c
            for i, c in enumerate(there)
        ]
        out = module(query_of(module), contexts).stream.tokens
        require_finite(out, f"the output where {names} is missing (None)")
        require_close(
            out,
            module(query_of(module), masked).stream.tokens,
            f"{names} missing (None), and {names} with a mask that is False throughout",
        )
        if out.requires_grad:  # a fusion may have no parameters
            out.square().sum().backward()
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                require_finite(parameter.grad, f"{key}'s gradient where {names} is missing")


def check_missing_for_some(make: Make) -> None:
    """A context that is masked for one sample is missing for it alone."""
    module = make()
    query, (first, *rest) = query_of(module), streams(module)
    mask = torch.ones(B, 5, dtype=torch.bool)
    mask[1] = False
    out = module(query, [Stream(first.tokens, mask), *rest]).stream.tokens
    with_it = module(query, [first, *rest]).stream.tokens
    without = module(query, [None, *rest]).stream.tokens
    name = module.contexts[0]
    require_finite(out, f"the output where {name} is masked for a sample")
    require_close(out[1], without[1], f"a sample whose {name} is masked, and one without {name}")
    require_close(out[[0, 2]], with_it[[0, 2]], f"samples beside one whose {name} is masked")
    require(not torch.allclose(with_it[1], without[1]), f"{name} changes nothing, there or missing")


def check_masks(make: Make) -> None:
    """What stands at masked positions changes nothing at the others, and nothing becomes NaN."""
    module = make()
    mask = torch.ones(B, 5, dtype=torch.bool)
    mask[:, 3:] = False
    query_mask = torch.ones(B, T, dtype=torch.bool)
    query_mask[0, 2:] = False
    query, first = query_of(module, mask=query_mask), stream(5, 2, mask, module.dim)
    rest = [None] * (len(module.contexts) - 1)
    for causal in {False, module.causal}:

        def told(asked: Stream, context: Stream, causal: bool = causal) -> Tensor:
            found: Tensor = module(asked, [context, *rest], causal=causal).stream.tokens
            return found[query_mask]

        out = told(query, first)
        for rubbish in (1e6, float("nan")):
            other_query = query.tokens.masked_fill(~query_mask[..., None], rubbish)
            other = Stream(first.tokens.masked_fill(~mask[..., None], rubbish), mask)
            require_close(
                out, told(query, other), f"{rubbish:g} at masked positions of a context, or not"
            )
            require_close(
                out,
                told(Stream(other_query, query_mask), other),
                f"{rubbish:g} at masked positions of query and context, or not",
            )
        shorter = Stream(first.tokens[:, :3], mask[:, :3])
        require_close(out, told(query, shorter), "a context with masked tokens, and without them")


def check_parameters(make: Make) -> None:
    """Every parameter gets a gradient, and whatever gets one is a registered parameter."""
    module = make().train()
    fused = module(query_of(module), streams(module))
    out = fused.stream.tokens
    total = (out * torch.randn_like(out)).sum() + sum(fused.losses.values())
    require(total.requires_grad or not list(module.parameters()), "no gradient reaches its output")
    registered = {id(parameter) for parameter in module.parameters()}
    strangers = [shape(t) for t in trainable_tensors(total) if id(t) not in registered]
    require(
        not strangers,
        f"tensors {strangers} would be trained and are no registered parameters: nothing trains or "
        "saves them (a plain list of tensors? use nn.ParameterList or nn.ModuleList)",
    )
    if total.requires_grad:
        total.backward()
    for key, parameter in module.named_parameters():
        unused = parameter.grad is None or not bool(parameter.grad.abs().sum() > 0)
        require(not unused, f"the parameter {key} gets no gradient: nothing uses it")


def trainable_tensors(output: Tensor) -> list[Tensor]:
    """Every tensor that a gradient of this output would reach."""
    found, seen, waiting = [], set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return found


def check_inputs_matter(make: Make) -> None:
    """The output changes with the query and with each context."""
    module = make()
    query, contexts = query_of(module), streams(module)
    one = module(query, contexts).stream.tokens
    for i, name in enumerate(module.contexts):
        other = [*contexts]
        other[i] = stream(contexts[i].tokens.shape[1], 99, dim=module.dim)
        two = module(query, other).stream.tokens
        require(not torch.allclose(one, two), f"another {name} gives the same output")
    two = module(query_of(module, 5), contexts).stream.tokens
    require(not torch.allclose(one, two), "another query gives the same output")


def check_pooled_queries(make: Make) -> None:
    """With a pooled query each position is fused by itself."""
    module = make()
    if module.query_form == "pooled":
        query, contexts = query_of(module), streams(module)
        whole = module(query, contexts).stream.tokens
        alone = Stream(query.tokens[:, 1:2], query.mask[:, 1:2])
        require_close(
            whole[:, 1:2],
            module(alone, contexts).stream.tokens,
            "a position among others, and alone (`query_form` is pooled)",
        )


def check_causality(make: Make) -> None:
    """With causal=True a later query position changes no earlier output, nor do the contexts."""
    module = make()
    if not module.causal:
        return
    contexts, query = streams(module), query_of(module)
    for place in range(1, T):
        changed = Stream(query.tokens.clone(), query.mask)
        changed.tokens[:, place:] = changed.tokens[:, place:].flip(-1) + 1
        one = module(query, contexts, causal=True).stream.tokens
        two = module(changed, contexts, causal=True).stream.tokens
        require_close(
            one[:, :place],
            two[:, :place],
            f"outputs before position {place}, where only it and later ones were changed",
        )
        require(
            not torch.allclose(one[:, place:], two[:, place:]),
            f"the outputs from position {place} on do not change with the query there",
        )


def check_steps(make: Make) -> None:
    """`step`, one position after the other, gives what `forward` gives with causal=True."""
    module = make()
    if not module.causal:
        return
    query_mask = torch.ones(B, T, dtype=torch.bool)
    query_mask[1, 3:] = False
    query, contexts = query_of(module, mask=query_mask), streams(module)
    mask = contexts[0].mask.clone()
    mask[0] = False
    masked = [Stream(contexts[0].tokens, mask), *contexts[1:]]
    order = torch.tensor([2, 0, 1])
    with torch.inference_mode():
        for given in (contexts, masked, [None, *contexts[1:]], [None] * len(contexts)):
            whole = module(query, given, causal=True).stream.tokens
            require_close(
                stepped(module, query, given)[query_mask],
                whole[query_mask],
                "`step` position by position, and `forward`",
            )
            require_close(
                stepped(module, query, given, order)[query_mask[order]],
                whole[order][query_mask[order]],
                "`step` once the rows of its state were reordered, as beam search does, and "
                "`forward`",
            )


def stepped(
    module: Fusion, query: Stream, contexts: Sequence[Stream | None], order: Tensor | None = None
) -> Tensor:
    """The fused tokens of one position after the other; samples change places after the first."""
    state = module.begin(B, torch.device("cpu"), contexts)
    found = []
    for place in range(query.tokens.shape[1]):
        here = Stream(query.tokens[:, place : place + 1], query.mask[:, place : place + 1])
        fused, state = module.step(here, state, contexts)
        found.append(fused.stream.tokens)
        if order is not None and place == 0:
            state = [part.index_select(0, order) for part in state]
            contexts = [None if c is None else c.take(order) for c in contexts]
            query = query.take(order)
            found[0] = found[0].index_select(0, order)
    return torch.cat(found, 1)


def check_saved_state(make: Make) -> None:
    """A model made with another seed gives the same once it has the saved tensors."""
    one, other = make(seed=0), make(seed=1)
    query, contexts = query_of(one), streams(one)
    other.load_state_dict(one.state_dict())
    require_close(
        one(query, contexts).stream.tokens,
        other(query, contexts).stream.tokens,
        "a fusion, and another one with its saved tensors",
        tolerance=0,
    )


def check_determinism(make: Make) -> None:
    """In evaluation mode the same input gives the same output, whatever is drawn elsewhere."""
    module = make()
    query, contexts = query_of(module), streams(module)
    one = module(query, contexts).stream.tokens
    torch.manual_seed(77)
    two = module(query, contexts).stream.tokens
    require(torch.equal(one, two), "the same input gives two outputs in evaluation mode")


CHECKS = (
    check_shapes,
    check_masks,
    check_missing,
    check_missing_for_some,
    check_inputs_matter,
    check_pooled_queries,
    check_causality,
    check_steps,
    check_parameters,
    check_saved_state,
    check_determinism,
)

"""What every fusion must keep, whoever wrote it: see `mmbench.zoo.fusion.base.Fusion`.

The checks (`mmbench.checks.fusion`) run over all that the registry finds and, at the end, over
fusions that are wrong on purpose: each must be caught.
"""

import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.checks.fusion import (
    CHECKS,
    NAMES,
    B,
    D,
    T,
    check_causality,
    check_determinism,
    check_inputs_matter,
    check_masks,
    check_missing,
    check_missing_for_some,
    check_parameters,
    check_pooled_queries,
    check_saved_state,
    check_shapes,
    check_steps,
    fusion_maker,
    shaken,
    stream,
)
from mmbench.errors import MMBenchError
from mmbench.zoo.fusion.base import Fused, Fusion, PooledFusion
from mmbench.zoo.stream import Stream

CAUSAL = [name for name in registry.names("fusions") if registry.load("fusions", name).causal]


def close(one, two, **tolerance):
    torch.testing.assert_close(one, two, **({"atol": 1e-5, "rtol": 1e-5} | tolerance))


def by_name(name):
    return fusion_maker(name, {}, D)


def by_class(cls):
    """A way to make a fusion: `make(contexts, seed)`."""

    def make(contexts=2, seed=0):
        torch.manual_seed(seed)
        return shaken(cls(dim=D, contexts=NAMES[:contexts]))

    return make


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", registry.names("fusions"))
def test_the_contract(name, check):
    check(by_name(name))


@pytest.mark.parametrize("name", registry.names("fusions"))
def test_a_wrong_number_of_contexts_is_an_error(name):
    module = by_name(name)()
    with pytest.raises(ValueError, match="contexts, got 0"):
        module(stream(T, 1), [])


# Wrong on purpose. Each is right but for one thing.


class Mixed(Fusion):
    """W (x + sum of the pooled contexts); the base of the wrong ones, and itself right."""

    query_form = "tokens"
    context_form = "tokens"
    causal = True

    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        self.mix = nn.Linear(dim, dim)

    def of_contexts(self, contexts, like):
        found = [c.pool()[:, None].tanh() for c in contexts if c is not None]
        return sum(found, torch.zeros_like(like[:, :1]))

    def forward(self, query, contexts, *, causal=False):
        x = query.clean()
        return Fused(Stream(self.mix(x + self.of_contexts(contexts, x)), query.mask))


class RunningMean(Mixed):
    """Causal in `forward`, but not position-wise: the step that it inherits is another fusion."""

    def forward(self, query, contexts, *, causal=False):
        x = query.clean().cumsum(1) / torch.arange(1, query.mask.shape[1] + 1)[:, None]
        return super().forward(Stream(x, query.mask), contexts)


class ContextsLookAtTheQuery(Mixed):
    """Attends from the contexts to the whole query, so that later words leak into earlier ones."""

    def forward(self, query, contexts, *, causal=False):
        asked = query.pool()[:, None]
        told = [None if c is None else Stream(c.tokens * asked, c.mask) for c in contexts]
        return super().forward(query, told)


class StateInItself(RunningMean):
    """Keeps its state in an attribute, which no beam search can reorder."""

    def begin(self, batch, device, contexts):
        self.seen = []
        return []

    def step(self, query, state, contexts):
        self.seen.append(query.clean())
        mean = torch.stack(self.seen).mean(0)
        return Mixed.forward(self, Stream(mean, query.mask), contexts), []


class LeakyFactors(Mixed):
    """Keeps its factors in a plain list, so that they are neither trained nor saved."""

    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        self.factors = [torch.randn(dim, dim, requires_grad=True) for _ in contexts]

    def of_contexts(self, contexts, like):
        pairs = zip(self.factors, contexts, strict=True)
        found = [(c.pool() @ factor)[:, None] for factor, c in pairs if c is not None]
        return sum(found, torch.zeros_like(like[:, :1]))


class IdleParameter(Mixed):
    """Has a parameter that nothing uses."""

    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        self.idle = nn.Parameter(torch.ones(dim))


class IgnoresMasks(Mixed):
    """Takes the mean of all tokens, there or not."""

    def of_contexts(self, contexts, like):
        found = [c.tokens.mean(1, keepdim=True).tanh() for c in contexts if c is not None]
        return sum(found, torch.zeros_like(like[:, :1]))


class SoftmaxOfNothing(Mixed):
    """Attends to a context by a plain softmax, which is NaN where all of it is masked."""

    def of_contexts(self, contexts, like):
        total = torch.zeros_like(like[:, :1])
        for c in (c for c in contexts if c is not None):
            scores = c.clean().sum(-1).masked_fill(~c.mask, -torch.inf)
            total = total + scores.softmax(-1)[:, None] @ c.clean()
        return total


class MissingCounts(Mixed):
    """Divides by the number of contexts that it was built for, and adds one for a missing one."""

    def of_contexts(self, contexts, like):
        found = [torch.ones_like(like[:, :1]) if c is None else c.pool()[:, None] for c in contexts]
        return sum(found) / len(found)


class DrawsAlways(Mixed):
    """Drops out in evaluation mode too."""

    def of_contexts(self, contexts, like):
        return nn.functional.dropout(super().of_contexts(contexts, like) + 1, 0.5, training=True)


class DeafToItsContexts(Mixed):
    """Does not look at them."""

    def of_contexts(self, contexts, like):
        return 0.0


class UndeclaredLoss(Mixed):
    """Gives a loss that no recipe can know of."""

    def forward(self, query, contexts, *, causal=False):
        fused = super().forward(query, contexts)
        return Fused(fused.stream, {"balance": fused.stream.tokens.square().mean()})


class SharesOfTheContextsAlone(Mixed):
    """Leaves the query out of its shares."""

    def forward(self, query, contexts, *, causal=False):
        fused = super().forward(query, contexts)
        return Fused(fused.stream, shares=torch.ones(B, T, len(self.contexts)))


class PooledQueryThatMixes(Mixed):
    """Says that it takes pooled queries, and mixes their positions."""

    query_form = "pooled"
    causal = False

    def forward(self, query, contexts, *, causal=False):
        mean = query.pool()[:, None].expand_as(query.tokens)
        return super().forward(Stream(query.clean() + mean, query.mask), contexts)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_what_the_wrong_ones_are_made_from_is_right(check):
    check(by_class(Mixed))


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (RunningMean, check_steps),
        (ContextsLookAtTheQuery, check_causality),
        (StateInItself, check_steps),
        (LeakyFactors, check_parameters),
        (LeakyFactors, check_saved_state),
        (IdleParameter, check_parameters),
        (IgnoresMasks, check_masks),
        (IgnoresMasks, check_missing_for_some),
        (SoftmaxOfNothing, check_missing),
        (MissingCounts, check_missing),
        (DrawsAlways, check_determinism),
        (DeafToItsContexts, check_inputs_matter),
        (UndeclaredLoss, check_shapes),
        (SharesOfTheContextsAlone, check_shapes),
        (PooledQueryThatMixes, check_pooled_queries),
    ],
)
def test_a_wrong_fusion_is_caught(wrong, check):
    with pytest.raises(AssertionError):
        check(by_class(wrong))


def test_a_causal_fusion_that_is_not_position_wise_keeps_every_other_check():
    """So that it is the comparison of `step` with `forward` that catches it, and nothing else."""
    for check in set(CHECKS) - {check_steps}:
        check(by_class(RunningMean))


class WithoutParameters(PooledFusion):
    """The sum of all vectors."""

    def fuse(self, vectors, present):
        return Fused(Stream(sum(vectors), present[0]))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_a_fusion_needs_no_parameters(check):
    check(by_class(WithoutParameters))


class Old(PooledFusion):
    """Of the earlier contract: `fuse` gives a tensor."""

    def fuse(self, vectors, present):
        return sum(vectors)


def test_a_fusion_that_gives_a_tensor_is_told_what_changed():
    with pytest.raises(
        MMBenchError, match="the fusion Old gave a Tensor .3, 4, 8. where Fused.stream."
    ):
        by_class(Old)()(stream(T, 1), [stream(5, 2), stream(6, 3)])

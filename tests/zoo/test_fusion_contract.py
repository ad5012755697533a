"""What every fusion must keep, whoever wrote it: see `mmbench.zoo.fusion.base.Fusion`.

Each check is a function of a way to make a fusion, so that it runs over all that the registry finds
and, at the end, over fusions that are wrong on purpose: each must be caught.
"""

import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.zoo.fusion.base import Fused, Fusion, PooledFusion
from mmbench.zoo.stream import Stream

B, T, D = 3, 4, 8
NAMES = ("image", "audio", "video")
CAUSAL = [name for name in registry.names("fusions") if registry.load("fusions", name).causal]


def by_name(name):
    """A way to make the registered fusion: `make(contexts, seed)`."""
    return by_class(registry.load("fusions", name))


def by_class(cls):
    """What is checked holds for any weights: a gate that starts at 0 would hide what is behind."""

    def make(contexts=2, seed=0):
        torch.manual_seed(seed)
        if cls.most_contexts is not None:
            contexts = min(contexts, cls.most_contexts)
        module = cls(dim=D, contexts=NAMES[:contexts]).eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return module

    return make


def stream(length, seed, mask=None):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(B, length, D, generator=generator)
    return Stream(tokens, torch.ones(B, length, dtype=torch.bool) if mask is None else mask)


def streams(module, lengths=(5, 6, 7)):
    """A context stream for each of a fusion's contexts."""
    return [stream(lengths[i], 2 + i) for i in range(len(module.contexts))]


def close(one, two, **tolerance):
    torch.testing.assert_close(one, two, **({"atol": 1e-5, "rtol": 1e-5} | tolerance))


def stepped(module, query, contexts, order=None):
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


def trainable_tensors(output):
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


def check_shapes(make):
    """The output stands on the query's positions, shares and losses are what they should be."""
    for contexts in (1, 2, 3):
        module = make(contexts).train()
        query = stream(T, 1)
        fused = module(query, streams(module))
        assert fused.stream.tokens.shape == (B, T, D)
        assert torch.equal(fused.stream.mask, query.mask)
        assert set(fused.losses) == set(module.auxiliary)
        assert all(loss.ndim == 0 and loss.isfinite() for loss in fused.losses.values())
        if fused.shares is not None:
            assert fused.shares.shape == (B, T, len(module.modalities))
            assert fused.shares.isfinite().all()


def check_missing(make):
    """A missing context gives numbers and gradients, as one that is masked for all does."""
    count = len(make().contexts)
    everyone = range(count)
    for missing in ([i] for i in everyone), [list(everyone)]:
        for absent in missing:
            module = make()
            there = streams(module)
            contexts = [None if i in absent else c for i, c in enumerate(there)]
            masked = [
                Stream(c.tokens * float("nan"), torch.zeros_like(c.mask)) if i in absent else c
                for i, c in enumerate(there)
            ]
            out = module(stream(T, 1), contexts).stream.tokens
            assert out.isfinite().all()
            close(out, module(stream(T, 1), masked).stream.tokens)
            out.square().sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def check_missing_for_some(make):
    """A context masked for a sample is missing for it alone."""
    module = make()
    query, (first, *rest) = stream(T, 1), streams(module)
    mask = torch.ones(B, 5, dtype=torch.bool)
    mask[1] = False
    out = module(query, [Stream(first.tokens, mask), *rest]).stream.tokens
    with_it = module(query, [first, *rest]).stream.tokens
    without = module(query, [None, *rest]).stream.tokens
    assert out.isfinite().all()
    close(out[1], without[1])
    close(out[[0, 2]], with_it[[0, 2]])
    assert not torch.allclose(with_it[1], without[1])


def check_masks(make):
    """What stands at masked positions changes nothing at the others, and nothing becomes NaN."""
    module = make()
    mask = torch.ones(B, 5, dtype=torch.bool)
    mask[:, 3:] = False
    query_mask = torch.ones(B, T, dtype=torch.bool)
    query_mask[0, 2:] = False
    query, first = stream(T, 1, query_mask), stream(5, 2, mask)
    rest = [None] * (len(module.contexts) - 1)
    for causal in {False, module.causal}:
        out = module(query, [first, *rest], causal=causal).stream.tokens
        for rubbish in (1e6, float("nan")):
            other_query = Stream(
                query.tokens.masked_fill(~query_mask[..., None], rubbish), query_mask
            )
            other = Stream(first.tokens.masked_fill(~mask[..., None], rubbish), mask)
            changed = module(other_query, [other, *rest], causal=causal).stream.tokens
            close(out[query_mask], changed[query_mask])
        shorter = Stream(first.tokens[:, :3], mask[:, :3])
        close(
            out[query_mask],
            module(query, [shorter, *rest], causal=causal).stream.tokens[query_mask],
        )


def check_parameters(make):
    """Every parameter gets a gradient, and whatever gets one is a parameter."""
    module = make().train()
    fused = module(stream(T, 1), streams(module))
    out = fused.stream.tokens
    total = (out * torch.randn_like(out)).sum() + sum(fused.losses.values())
    registered = {id(parameter) for parameter in module.parameters()}
    strangers = [t.shape for t in trainable_tensors(total) if id(t) not in registered]
    assert not strangers, strangers
    total.backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def check_inputs_matter(make):
    module = make()
    query, contexts = stream(T, 1), streams(module)
    one = module(query, contexts).stream.tokens
    for i in range(len(contexts)):
        other = [*contexts]
        other[i] = stream(contexts[i].tokens.shape[1], 99)
        assert not torch.allclose(one, module(query, other).stream.tokens)
    assert not torch.allclose(one, module(stream(T, 5), contexts).stream.tokens)


def check_pooled_queries(make):
    """With a pooled query each position is fused by itself."""
    module = make()
    if module.query_form == "pooled":
        query, contexts = stream(T, 1), streams(module)
        whole = module(query, contexts).stream.tokens
        alone = Stream(query.tokens[:, 1:2], query.mask[:, 1:2])
        close(whole[:, 1:2], module(alone, contexts).stream.tokens)


def check_causality(make):
    """A later query position changes no earlier output, by way of the contexts neither."""
    module = make()
    if not module.causal:
        return
    contexts, query = streams(module), stream(T, 1)
    for place in range(1, T):
        changed = Stream(query.tokens.clone(), query.mask)
        changed.tokens[:, place:] = changed.tokens[:, place:].flip(-1) + 1
        one = module(query, contexts, causal=True).stream.tokens
        two = module(changed, contexts, causal=True).stream.tokens
        close(one[:, :place], two[:, :place])
        assert not torch.allclose(one[:, place:], two[:, place:])


def check_steps(make):
    """`step`, one position after the other, gives what `forward` gives with `causal=True`."""
    module = make()
    if not module.causal:
        return
    query_mask = torch.ones(B, T, dtype=torch.bool)
    query_mask[1, 3:] = False
    query, contexts = stream(T, 1, query_mask), streams(module)
    mask = contexts[0].mask.clone()
    mask[0] = False
    masked = [Stream(contexts[0].tokens, mask), *contexts[1:]]
    order = torch.tensor([2, 0, 1])
    with torch.inference_mode():
        for given in (contexts, masked, [None, *contexts[1:]], [None] * len(contexts)):
            whole = module(query, given, causal=True).stream.tokens
            close(stepped(module, query, given)[query_mask], whole[query_mask])
            reordered = stepped(module, query, given, order)
            close(reordered[query_mask[order]], whole[order][query_mask[order]])


def check_saved_state(make):
    """A model made with another seed gives the same once it has the saved tensors."""
    one, other = make(seed=0), make(seed=1)
    query, contexts = stream(T, 1), streams(one)
    other.load_state_dict(one.state_dict())
    close(one(query, contexts).stream.tokens, other(query, contexts).stream.tokens, atol=0, rtol=0)


def check_determinism(make):
    """The same input gives the same output, whatever is drawn elsewhere."""
    module = make()
    query, contexts = stream(T, 1), streams(module)
    one = module(query, contexts).stream.tokens
    torch.manual_seed(77)
    assert torch.equal(one, module(query, contexts).stream.tokens)


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


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


class Old(PooledFusion):
    """Of the earlier contract: `fuse` gives a tensor."""

    def fuse(self, vectors, present):
        return sum(vectors)


def test_a_fusion_that_gives_a_tensor_is_told_what_changed():
    with pytest.raises(MMBenchError, match="Old is written for an earlier contract.*Fused"):
        by_class(Old)()(stream(T, 1), [stream(5, 2), stream(6, 3)])

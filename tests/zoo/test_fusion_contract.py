"""What every fusion must keep, whoever wrote it: see `mmbench.zoo.fusion.base.Fusion`."""

import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.zoo.fusion.base import Fusion
from mmbench.zoo.stream import Stream

B, T, D = 3, 4, 8


class LeakyFactors(Fusion):
    """Keeps its factors in a plain list, so that they are neither trained nor saved."""

    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        self.factors = [torch.randn(dim, dim, requires_grad=True) for _ in range(contexts)]
        self.mix = nn.Linear(dim, dim)

    def forward(self, query, contexts, *, causal=False):
        total = query.tokens
        for factor, context in zip(self.factors, contexts, strict=True):
            if context is not None:
                total = total + (context.pool() @ factor)[:, None]
        return Stream(self.mix(total), query.mask)


def fusion(name, contexts=2, seed=0):
    torch.manual_seed(seed)
    cls = LeakyFactors if name == "leaky" else registry.load("fusions", name)
    return cls(dim=D, contexts=contexts).eval()


def stream(length, seed, mask=None):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(B, length, D, generator=generator)
    return Stream(tokens, torch.ones(B, length, dtype=torch.bool) if mask is None else mask)


def check_saved_state_is_complete(name):
    """A model made with another seed gives the same once it has the saved tensors."""
    query, contexts = stream(T, 1), [stream(5, 2), stream(6, 3)]
    one, other = fusion(name, seed=0), fusion(name, seed=1)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(query, contexts).tokens, other(query, contexts).tokens)


every = pytest.mark.parametrize("name", registry.names("fusions"))


@every
@pytest.mark.parametrize("contexts", [1, 2, 3])
def test_the_output_stands_on_the_querys_positions(name, contexts):
    query = stream(T, 1)
    out = fusion(name, contexts)(query, [stream(5 + i, i) for i in range(contexts)])
    assert out.tokens.shape == (B, T, D)
    assert torch.equal(out.mask, query.mask)


@every
@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1)])
def test_a_missing_context_gives_numbers_and_gradients(name, missing):
    module = fusion(name)
    contexts = [None if i in missing else stream(5, i) for i in range(2)]
    out = module(stream(T, 1), contexts).tokens
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@every
def test_a_context_masked_for_a_sample_is_missing_for_it_alone(name):
    module = fusion(name)
    query, second = stream(T, 1), stream(6, 3)
    mask = torch.ones(B, 5, dtype=torch.bool)
    mask[1] = False
    out = module(query, [stream(5, 2, mask), second]).tokens
    with_it = module(query, [stream(5, 2), second]).tokens
    without = module(query, [None, second]).tokens
    assert out.isfinite().all()
    torch.testing.assert_close(out[1], without[1])
    torch.testing.assert_close(out[[0, 2]], with_it[[0, 2]])
    assert not torch.allclose(with_it[1], without[1])


@every
def test_what_stands_at_masked_positions_changes_nothing(name):
    module = fusion(name)
    mask = torch.ones(B, 5, dtype=torch.bool)
    mask[:, 3:] = False
    query_mask = torch.ones(B, T, dtype=torch.bool)
    query_mask[0, 2:] = False
    query, context = stream(T, 1, query_mask), stream(5, 2, mask)
    out = module(query, [context, None]).tokens
    for rubbish in (1e6, float("nan")):
        other_query = Stream(query.tokens.masked_fill(~query_mask[..., None], rubbish), query_mask)
        other = Stream(context.tokens.masked_fill(~mask[..., None], rubbish), mask)
        changed = module(other_query, [other, None]).tokens
        torch.testing.assert_close(out[query_mask], changed[query_mask])


@every
def test_every_parameter_gets_a_gradient(name):
    module = fusion(name).train()
    out = module(stream(T, 1), [stream(5, 2), stream(6, 3)]).tokens
    (out * torch.randn_like(out)).sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@every
def test_the_contexts_matter(name):
    module = fusion(name)
    query = stream(T, 1)
    one = module(query, [stream(5, 2), stream(6, 3)]).tokens
    assert not torch.allclose(one, module(query, [stream(5, 4), stream(6, 3)]).tokens)
    assert not torch.allclose(one, module(query, [stream(5, 2), stream(6, 4)]).tokens)
    assert not torch.allclose(one, module(stream(T, 5), [stream(5, 2), stream(6, 3)]).tokens)


@every
def test_a_later_query_position_changes_no_earlier_output(name):
    module = fusion(name)
    contexts = [stream(5, 2), stream(6, 3)]
    query = stream(T, 1)
    changed = Stream(query.tokens.clone(), query.mask)
    changed.tokens[:, 2:] += 1
    one = module(query, contexts, causal=True).tokens
    two = module(changed, contexts, causal=True).tokens
    torch.testing.assert_close(one[:, :2], two[:, :2])
    assert not torch.allclose(one[:, 2:], two[:, 2:])


@every
def test_the_saved_state_is_complete(name):
    check_saved_state_is_complete(name)


def test_the_contract_catches_factors_kept_in_a_plain_list():
    with pytest.raises(AssertionError):
        check_saved_state_is_complete("leaky")


@every
def test_a_wrong_number_of_contexts_is_an_error(name):
    with pytest.raises(ValueError, match="2 contexts"):
        fusion(name)(stream(T, 1), [stream(5, 2)])


def test_attention_is_the_formula():
    """h = sum_i softmax_i(MLP(h_i)) h_i, written out by hand."""
    module = fusion("attention", contexts=1)
    query, context = stream(1, 1), stream(5, 2)
    h = [module.project[0](query.tokens[:, 0]), module.project[1](context.tokens.mean(1))]
    e = torch.cat([module.score(x) for x in h], dim=1)
    alpha = e.exp() / e.exp().sum(dim=1, keepdim=True)
    expected = alpha[:, :1] * h[0] + alpha[:, 1:] * h[1]
    torch.testing.assert_close(module(query, [context]).tokens[:, 0], expected)


def test_concatenation_is_the_formula():
    """relu(W [x_1; x_2; x_3] + b), with the vectors side by side at each position."""
    module = fusion("concat", contexts=2)
    query, contexts = stream(T, 1), [stream(5, 2), stream(6, 3)]
    pooled = [context.tokens.mean(1, keepdim=True).expand(B, T, D) for context in contexts]
    expected = module.mix(torch.cat([query.tokens, *pooled], -1)).relu()
    torch.testing.assert_close(module(query, contexts).tokens, expected)


def test_gating_is_the_formula():
    """sum_i g_i tanh(W_i x_i), g = softmax_i of V [x_1; x_2], feature by feature."""
    module = fusion("gated", contexts=1)
    query, context = stream(T, 1), stream(5, 2)
    x = [query.tokens, context.tokens.mean(1, keepdim=True).expand(B, T, D)]
    h = [layer(v).tanh() for layer, v in zip(module.project, x, strict=True)]
    one, two = module.gate(torch.cat(x, -1)).split(D, -1)
    g = torch.sigmoid(one - two)
    torch.testing.assert_close(module(query, [context]).tokens, g * h[0] + (1 - g) * h[1])


def test_gates_of_the_modalities_that_are_there_sum_to_one():
    """With tanh saturated at 1 for every modality, the output is the sum of the gates."""
    module = fusion("gated", contexts=2)
    for layer in module.project:
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 50.0)
    for contexts in ([stream(5, 2), stream(6, 3)], [None, stream(6, 3)], [None, None]):
        out = module(stream(T, 1), contexts).tokens
        torch.testing.assert_close(out, torch.ones_like(out))

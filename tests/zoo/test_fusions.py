"""Fusions against their equations, written out by hand."""

import math

import pytest
import torch
from torch import nn

from mmbench.errors import MMBenchError
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.zoo.test_fusion_contract import B, D, T, by_name, close, stream


def heads_apart(attention, x, tokens, mask):
    """softmax(q k^T / sqrt(d)) v, head by head; mask (T, N)."""
    q, k, v = (
        layer(y).split(D // 4, -1)
        for layer, y in (
            (attention.query, x),
            (attention.key, tokens),
            (attention.value, tokens),
        )
    )
    found = []
    for head in range(4):
        scores = q[head] @ k[head].transpose(1, 2) / math.sqrt(D // 4)
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        found.append(weights @ v[head])
    return attention.mix(torch.cat(found, -1))


def test_attention_is_the_formula():
    """h = sum_i softmax_i(MLP(h_i)) h_i."""
    module = by_name("attention")(contexts=1)
    query, context = stream(1, 1), stream(5, 2)
    h = [module.project[0](query.tokens[:, 0]), module.project[1](context.tokens.mean(1))]
    e = torch.cat([module.score(x) for x in h], dim=1)
    alpha = e.exp() / e.exp().sum(dim=1, keepdim=True)
    expected = alpha[:, :1] * h[0] + alpha[:, 1:] * h[1]
    fused = module(query, [context])
    close(fused.stream.tokens[:, 0], expected)
    close(fused.shares[:, 0], alpha)


def test_concatenation_is_the_formula():
    """relu(W [x_1; x_2; x_3] + b), with the vectors side by side at each position."""
    module = by_name("concat")(contexts=2)
    query, contexts = stream(T, 1), [stream(5, 2), stream(6, 3)]
    pooled = [context.tokens.mean(1, keepdim=True).expand(B, T, D) for context in contexts]
    expected = module.mix(torch.cat([query.tokens, *pooled], -1)).relu()
    close(module(query, contexts).stream.tokens, expected)


def test_gating_is_the_formula():
    """sum_i g_i tanh(W_i x_i), g = softmax_i of V [x_1; x_2], feature by feature."""
    module = by_name("gated")(contexts=1)
    query, context = stream(T, 1), stream(5, 2)
    x = [query.tokens, context.tokens.mean(1, keepdim=True).expand(B, T, D)]
    h = [layer(v).tanh() for layer, v in zip(module.project, x, strict=True)]
    one, two = module.gate(torch.cat(x, -1)).split(D, -1)
    g = torch.sigmoid(one - two)
    fused = module(query, [context])
    close(fused.stream.tokens, g * h[0] + (1 - g) * h[1])
    close(fused.shares, torch.stack([g.mean(-1), 1 - g.mean(-1)], -1))


def test_gates_of_the_modalities_that_are_there_sum_to_one():
    """With tanh saturated at 1 for every modality, the output is the sum of the gates."""
    module = by_name("gated")(contexts=2)
    for layer in module.project:
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 50.0)
    for contexts in ([stream(5, 2), stream(6, 3)], [None, stream(6, 3)], [None, None]):
        fused = module(stream(T, 1), contexts)
        close(fused.stream.tokens, torch.ones(B, T, D))
        close(fused.shares.sum(-1), torch.ones(B, T))
        missing = [place for place, c in enumerate(contexts, 1) if c is None]
        assert not fused.shares[..., missing].any()


def test_cross_attention_is_the_formula():
    """x + Attention(norm(x), c, c), then x + MLP(norm(x)), over the tokens of both contexts."""
    module = by_name("cross_attention")(contexts=2)
    query, contexts = stream(T, 1), [stream(5, 2), stream(6, 3)]
    kinds = module.joined.kinds
    tokens = torch.cat(
        [contexts[0].tokens + kinds["image"], contexts[1].tokens + kinds["audio"]], 1
    )
    tokens = module.context_norm(tokens)
    x = query.tokens
    assert len(module.layers) == 3
    for layer in module.layers:
        seen = torch.ones(T, 11, dtype=torch.bool)
        x = x + heads_apart(layer.attention, layer.norm(x), tokens, seen)
        x = x + layer.feed_forward(x)
    close(module(query, contexts).stream.tokens, module.norm(x))


@pytest.mark.parametrize("causal", [False, True])
def test_merged_attention_is_the_formula(causal):
    """One Transformer over [context; query], where the context sees the query unless causal."""
    module = by_name("merged_attention")(contexts=1)
    query, context = stream(T, 1), stream(5, 2)
    kinds = module.joined.kinds
    z = torch.cat([context.tokens + kinds["image"], query.tokens + kinds["query"]], 1)
    seen = torch.ones(9, 9, dtype=torch.bool)
    if causal:
        seen[:5, 5:] = False
        seen[5:, 5:] = torch.ones(T, T).tril().bool()
    for layer in module.layers:
        normed = layer.norm(z)
        z = z + heads_apart(layer.attention, normed, normed, seen)
        z = z + layer.feed_forward(z)
    close(module(query, [context], causal=causal).stream.tokens, module.norm(z[:, 5:]))


def test_merged_attention_lets_the_contexts_see_the_query_unless_it_is_causal():
    module = by_name("merged_attention")(contexts=1)
    query, context = stream(T, 1), stream(5, 2)
    changed = Stream(query.tokens.clone(), query.mask)
    changed.tokens[:, -1] = changed.tokens[:, -1].flip(-1)
    for causal in (False, True):
        one, two = (module(q, [context], causal=causal).stream.tokens for q in (query, changed))
        assert torch.allclose(one[:, 0], two[:, 0]) is causal


@pytest.mark.parametrize("name", ["cross_attention", "merged_attention"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": 0}, "layers must be at least 1"),
        ({"heads": 3}, "heads must divide the width 8, got 3"),
    ],
)
def test_an_option_out_of_range_is_explained(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        build_part("fusions", name, options, dim=D, contexts=("image",))

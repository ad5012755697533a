"""Fusions over tokens against their equations: one sample, one head and one position at a time.

Written out in numpy, of the tokens that are there alone, so that masks are tested too.
"""

import numpy as np
import pytest
import torch
from scipy.special import erf

from mmbench.errors import MMBenchError
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.zoo.test_fusion_contract import B, D, T, by_name, close, stream


def array(parameter):
    return parameter.detach().numpy().astype(np.float64)


def linear(layer, x):
    product = x @ array(layer.weight).T
    return product if layer.bias is None else product + array(layer.bias)


def norm(layer, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + layer.eps) * array(layer.weight) + array(layer.bias)


def relu(x):
    return np.maximum(x, 0)


def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum()


def attention(module, x, c, sees=None):
    """softmax(q k^T / sqrt(d)) v of each head; `sees(t, n)`: whether position t sees token n."""
    q, k, v = linear(module.query, x), linear(module.key, c), linear(module.value, c)
    found, each = np.zeros_like(x), x.shape[1] // 4
    for t in range(len(x)):
        seen = [n for n in range(len(c)) if sees is None or sees(t, n)]
        for head in range(4 if seen else 0):
            part = slice(head * each, (head + 1) * each)
            weights = softmax(np.array([q[t, part] @ k[n, part] for n in seen]) / np.sqrt(each))
            found[t, part] = sum(w * v[n, part] for w, n in zip(weights, seen, strict=True))
    return linear(module.mix, found)


def mlp(sequence, x):
    hidden = linear(sequence[1], norm(sequence[0], x))
    return linear(sequence[3], hidden * (1 + erf(hidden / np.sqrt(2))) / 2)


def attended(layer, x, c=None, sees=None):
    """x + Attention(norm(x), norm(c)); c is x if there is none."""
    return x + attention(
        layer.attention, norm(layer.norm, x), norm(layer.norm, x if c is None else c), sees
    )


def looked(layer, x, normed, sees=None):
    """x + Attention(norm(x), c), of c that is normed already."""
    return x + attention(layer.attention, norm(layer.norm, x), normed, sees)


def fed(layer, x):
    return x + mlp(layer.feed_forward, x)


def joined(module, contexts):
    marked = [c + array(module.kinds[n]) for n, c in contexts.items()]
    return np.concatenate([np.zeros((0, D)), *marked])


def earlier(t, n):
    return n <= t


def co_attention(module, x, contexts, causal):
    """Each stream looks at the other, then at itself; nobody reads the contexts' last layer."""
    y = joined(module.joined, contexts)

    def half(layer, one, other):
        return fed(layer.within, attended(layer.within, attended(layer.across, one, other)))

    x, y = half(module.of_query[0], x, y), half(module.of_contexts[0], y, x)
    return norm(module.norm, half(module.of_query[1], x, y))


def mcan(module, x, contexts, causal):
    """The question attends to itself and guides the image, whose tokens become one vector."""
    y = joined(module.joined, contexts)
    for layer in module.encoder:
        x = fed(layer, attended(layer, x))
    x = norm(module.encoder_norm, x)
    for layer in module.decoder:
        y = attended(layer.within, y)
        y = fed(layer.guided, looked(layer.guided, y, x))
    y = norm(module.decoder_norm, y)
    weights = softmax(linear(module.score[2], relu(linear(module.score[0], y)))) if len(y) else []
    flat = sum((w * t for w, t in zip(weights, y, strict=True)), np.zeros(D))
    return norm(module.norm, linear(module.of_query, x) + linear(module.of_contexts, flat))


def ban(module, x, contexts, causal):
    """All pairs of a word and a token share one softmax; glimpse after glimpse is added."""
    y = joined(module.joined, contexts)
    u, v = relu(linear(module.map_query[0], x)), relu(linear(module.map_contexts[0], y))
    pairs = [(i, j) for i in range(len(x)) for j in range(len(y))]
    maps = []
    for p in array(module.maps):
        scores = np.array([(p * u[i] * v[j]).sum() for i, j in pairs])
        maps.append(dict(zip(pairs, softmax(scores), strict=True)))
    for glimpse, weights in zip(module.glimpses, maps, strict=True):
        u, v = relu(linear(glimpse.of_query[0], x)), relu(linear(glimpse.of_contexts[0], y))
        pooled = sum((weights[i, j] * u[i] * v[j] for i, j in pairs), np.zeros(D))
        x = x + linear(glimpse.project, pooled)
    return x


def mult(module, x, contexts, causal):
    """Every pair has a Transformer of its own, every modality one over what it found."""
    streams = [x, *(contexts.get(name, np.zeros((0, D))) for name in module.contexts)]
    streams = [linear(p, s) for p, s in zip(module.project, streams, strict=True)]

    def transformed(part, z, other=None):
        for layer in part.layers:
            z = fed(layer, attended(layer, z, other))
        return norm(part.norm, z)

    found = []
    for i, own in enumerate(streams):
        others = [s for j, s in enumerate(streams) if j != i]
        pairs = [transformed(p, own, o) for p, o in zip(module.across[i], others, strict=True)]
        found.append(transformed(module.within[i], np.concatenate(pairs, 1)))
    pooled = [z.mean(0) if len(z) else np.zeros(z.shape[1]) for z in found[1:]]
    s = np.stack([np.concatenate([z, *pooled]) for z in found[0]])
    return linear(module.out, s + linear(module.mix[2], relu(linear(module.mix[0], s))))


def bottleneck(module, x, contexts, causal):
    """Each modality has the bottlenecks beside it, and their mean goes on."""
    b, count = array(module.bottlenecks), len(module.bottlenecks)
    contexts = {name: c for name, c in contexts.items() if len(c)}

    def sees(t, n):
        return not causal or n < count or n <= t

    for number, layer in enumerate(module.of_query):
        z = fed(layer, attended(layer, np.concatenate([b, x]), sees=sees))
        told = [] if causal else [z[:count]]
        if number < len(module.of_contexts):
            for place, name in enumerate(module.contexts):
                if name in contexts:
                    own = module.of_contexts[number][place]
                    c = fed(own, attended(own, np.concatenate([b, contexts[name]])))
                    told.append(c[:count])
                    contexts[name] = c[count:]
        x, b = z[count:], sum(told, np.zeros_like(b)) / max(len(told), 1)
    return norm(module.norm, x)


def late_transformer(module, x, contexts, causal):
    """[class; query; pooled contexts], once for each position of the query."""
    pooled = [c.mean(0) + array(module.joined.kinds[n]) for n, c in contexts.items() if len(c)]
    found = []
    for position in x:
        z = np.stack(
            [array(module.class_token), position + array(module.joined.kinds["query"]), *pooled]
        )
        for layer in module.layers:
            z = fed(layer, attended(layer, z))
        found.append(norm(module.norm, z)[0])
    return np.stack(found)


def perceiver(module, x, contexts, causal):
    """Learnt tokens look at [contexts; themselves], and the query at those."""
    c, z = norm(module.context_norm, joined(module.joined, contexts)), array(module.latents)
    for layer in module.resampler:
        z = fed(layer, looked(layer, z, np.concatenate([c, norm(layer.norm, z)])))
    x = fed(module.across, looked(module.across, x, norm(module.latent_norm, z)))
    return norm(module.norm, x)


def gated_cross_attention(module, x, contexts, causal):
    """Cross-attention, each half of a layer through tanh of a number."""
    c = norm(module.context_norm, joined(module.joined, contexts))
    for layer in module.layers:
        gates = np.tanh([layer.attention_gate.item(), layer.feed_forward_gate.item()])
        x = x + gates[0] * attention(layer.attention, norm(layer.norm, x), c)
        x = x + gates[1] * mlp(layer.feed_forward, x)
    return x


def q_former(module, x, contexts, causal):
    """Learnt queries and text share self-attention; the queries alone look at the contexts."""
    c, q = norm(module.context_norm, joined(module.joined, contexts)), array(module.queries)
    count = len(q)

    def sees(t, n):
        return not causal or n < count or n <= t

    first, last = module.layers
    z = attended(first, np.concatenate([q, x]), sees=sees)
    q, x = looked(module.across[0], z[:count], c), fed(first, z[count:])
    q = q + mlp(module.of_queries[0], q)
    z = attended(last, np.concatenate([q, x]), sees=sees)
    return norm(module.norm, fed(last, z[count:]))


def prefix(module, x, contexts, causal):
    """[projected contexts; query], where every token sees itself and those before it."""
    projected = [linear(module.project[module.contexts.index(n)], c) for n, c in contexts.items()]
    z = np.concatenate([*projected, x])
    for layer in module.layers:
        z = fed(layer, attended(layer, z, sees=earlier))
    return norm(module.norm, z[len(z) - len(x) :])


EQUATIONS = {
    "co_attention": co_attention,
    "mcan": mcan,
    "ban": ban,
    "mult": mult,
    "bottleneck": bottleneck,
    "late_transformer": late_transformer,
    "perceiver": perceiver,
    "gated_cross_attention": gated_cross_attention,
    "q_former": q_former,
    "prefix": prefix,
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", EQUATIONS)
def test_a_fusion_is_its_equation(name, causal):
    """Of two contexts; sample 0 lacks some tokens, sample 1 a context, sample 2 both."""
    module = by_name(name)(contexts=2)
    if causal and not module.causal:
        return
    query_mask, image_mask, audio_mask = (torch.ones(B, n, dtype=torch.bool) for n in (T, 5, 6))
    query_mask[0, 3:], image_mask[0, 1:3] = False, False
    audio_mask[1] = image_mask[2] = audio_mask[2] = False
    query, image, audio = (
        stream(T, 1, query_mask),
        stream(5, 2, image_mask),
        stream(6, 3, audio_mask),
    )
    out = module(query, [image, audio], causal=causal).stream.tokens
    for row in range(B):
        x, *found = (array(s.tokens[row, s.mask[row]]) for s in (query, image, audio))
        contexts = dict(zip(module.contexts, found, strict=True))
        expected = EQUATIONS[name](module, x, contexts, causal)
        np.testing.assert_allclose(array(out[row, query_mask[row]]), expected, atol=1e-5, rtol=1e-5)


def test_flamingos_gates_are_shut_at_first():
    """So that what it starts from is the query itself, whatever the contexts hold."""
    module = build_part("fusions", "gated_cross_attention", {}, dim=D, contexts=("image",))
    query = stream(T, 1)
    close(module(query, [stream(5, 2)]).stream.tokens, query.tokens, atol=0, rtol=0)


def test_modalities_exchange_nothing_but_the_bottlenecks():
    """An image that the bottlenecks do not look at moves nothing."""
    module = by_name("bottleneck")(contexts=1)
    query, one, two = stream(T, 1), stream(5, 2), stream(5, 3)
    assert not torch.allclose(*(module(query, [c]).stream.tokens for c in (one, two)))
    with torch.no_grad():
        module.of_contexts[0][0].attention.mix.weight.zero_()
    close(*(module(query, [c]).stream.tokens for c in (one, two)))


def test_a_prefix_is_seen_from_the_left_where_no_text_is_written_too():
    module = by_name("prefix")(contexts=1)
    query, context = stream(T, 1), stream(5, 2)
    changed = Stream(query.tokens.clone(), query.mask)
    changed.tokens[:, -1] = changed.tokens[:, -1].flip(-1)
    one, two = (module(q, [context]).stream.tokens for q in (query, changed))
    close(one[:, :-1], two[:, :-1])


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("bottleneck", {"layers": 1}, "layers must be at least 2"),
        ("co_attention", {"layers": 1}, "layers must be at least 2"),
        ("q_former", {"layers": 1}, "layers must be at least 2"),
        ("mcan", {"layers": 0}, "layers must be at least 1"),
        ("prefix", {"heads": 3}, "heads must divide the width 8, got 3"),
        ("mult", {"heads": 8}, "heads must divide half of the width 8, got 8"),
        ("ban", {"glimpses": 0}, "glimpses must be at least 1"),
        ("bottleneck", {"bottlenecks": 0}, "bottlenecks must be at least 1"),
        ("perceiver", {"latents": 0}, "latents must be at least 1"),
        ("q_former", {"queries": 0}, "queries must be at least 1"),
    ],
)
def test_an_option_out_of_range_is_explained(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        build_part("fusions", name, options, dim=D, contexts=("image",))

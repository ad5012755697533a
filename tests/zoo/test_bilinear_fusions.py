"""Fusions by products and sums of projections, against their equations."""

import itertools
import math

import numpy as np
import pytest
import torch

from mmbench import registry
from mmbench.errors import MMBenchError
from mmbench.zoo.fusion.products import power_normalised
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.zoo.bilinear_references import numbers
from tests.zoo.test_fusion_contract import NAMES, B, D, T, close, stream

# Each equation by hand, for one position: of weights by name, of vectors (D,) of the query and the
# contexts, and of which are there. Loops and whole tensors, where the fusions have neither.


def affine(p, name, x):
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def relu(x):
    return np.maximum(x, 0)


def normed(z):
    root = np.array([math.copysign(math.sqrt(abs(v)), v) for v in z])
    return root / math.sqrt(sum(root**2))


def projected(p, x, name="project"):
    return [affine(p, f"{name}.{i}", v) for i, v in enumerate(x)]


def those(factors, there):
    return [f for f, t in zip(factors, there, strict=True) if t]


def sum_by_hand(p, x, there):
    known = those(projected(p, x), there)
    return relu(affine(p, "out", sum(relu(y) for y in known)))


def hadamard_by_hand(p, x, there):
    factors = those(projected(p, x), there)
    return affine(p, "out", [math.prod(math.tanh(f[d]) for f in factors) for d in range(D)])


def mfb_by_hand(p, x, there, factors=5, blocks=1):
    rows = those(projected(p, x), there)
    expanded, pooled = np.ones((factors, D)), []
    for block in range(blocks):
        for k, d in itertools.product(range(factors), range(D)):
            row = (block * factors + k) * D + d
            expanded[k, d] *= math.prod(y[row] for y in rows)
        pooled.append(normed(expanded.sum(0)))
    return affine(p, "out", np.concatenate(pooled))


def of_core(core, vectors):
    """z_k = sum_ij... core[k, i, j, ...] x_i y_j ..., mode by mode."""
    for x in vectors:
        core = np.tensordot(core, x, axes=(1, 0))
    return core


def core_of_rank(slices):
    """core[k, i, j, ...] = sum_r A_r[k, i] B_r[k, j] ..., of matrices (R, K, I) of each mode."""
    rank, features, _ = slices[0].shape
    core = np.zeros((features, *(m.shape[2] for m in slices)))
    for r, k in itertools.product(range(rank), range(features)):
        outer = np.ones(())
        for m in slices:
            outer = np.multiply.outer(outer, m[r, k])
        core[k] += outer
    return core


def with_bias(weight, bias, rank):
    """Matrices (R, K, I + 1), for vectors that end in a one."""
    return np.concatenate([weight, bias[:, None]], 1).reshape(rank, -1, weight.shape[1] + 1)


def mutan_by_hand(p, x, there, rank=5):
    y = those(projected(p, x), there)
    names = those([f"core.{i}" for i in range(len(x))], there)
    core = core_of_rank([with_bias(p[f"{n}.weight"], p[f"{n}.bias"], rank) for n in names])
    return affine(p, "out", of_core(core, [np.append(v, 1) for v in y]))


def block_by_hand(p, x, there, chunks=4, rank=15):
    y, size = those(projected(p, x), there), D // chunks
    pooled = []
    for c in range(chunks):
        names = those([f"cores.{c}.{i}" for i in range(len(x))], there)
        slices = [with_bias(p[f"{n}.weight"], p[f"{n}.bias"], rank) for n in names]
        chunk = [np.append(v[c * size : (c + 1) * size], 1) for v in y]
        pooled.append(normed(of_core(core_of_rank(slices), chunk)))
    return affine(p, "out", np.concatenate(pooled))


def mcb_by_hand(p, x, there, size=1024):
    """The count sketch of the outer product, entry by entry: its place is the sum of the places."""
    sketch = np.zeros(size)
    known = those(range(len(x)), there)
    for entry in itertools.product(range(D), repeat=len(known)):
        place = sum(p["places"][i][j] for i, j in zip(known, entry, strict=True)) % size
        sketch[place] += math.prod(
            p["signs"][i][j] * x[i][j] for i, j in zip(known, entry, strict=True)
        )
    return affine(p, "out", normed(sketch))


def tensor_by_hand(p, x, there):
    z = [relu(y) * t for y, t in zip(projected(p, x, "embed"), there, strict=True)]
    outer = np.ones(())
    for v in z:
        outer = np.multiply.outer(outer, np.append(v, 1))
    return relu(affine(p, "mix", outer.reshape(-1)))


def low_rank_tensor_by_hand(p, x, there, rank=4):
    names = [f"factors.{i}" for i in range(len(x))]
    weights = core_of_rank([with_bias(p[f"{n}.weight"], p[f"{n}.bias"], rank) for n in names])
    return (
        of_core(weights, [np.append(v * t, 1) for v, t in zip(x, there, strict=True)]) + p["bias"]
    )


def multiplicative_by_hand(p, x, there):
    query, z = x[0], np.concatenate([v * t for v, t in zip(x[1:], there[1:], strict=True)])
    w = p["weights.weight"].reshape(D, D, len(z))  # (out, query, contexts)
    v = p["weights.bias"].reshape(D, D)
    bilinear = [
        sum(w[d, i, j] * query[i] * z[j] for i in range(D) for j in range(len(z))) for d in range(D)
    ]
    return bilinear + p["biases.weight"] @ z + v @ query + p["biases.bias"]


BY_HAND = {
    "sum": sum_by_hand,
    "hadamard": hadamard_by_hand,
    "mfb": mfb_by_hand,
    "mutan": mutan_by_hand,
    "block": block_by_hand,
    "mcb": mcb_by_hand,
    "tensor": tensor_by_hand,
    "low_rank_tensor": low_rank_tensor_by_hand,
    "multiplicative": multiplicative_by_hand,
}


def made(name, contexts=2, **options):
    torch.manual_seed(0)
    return build_part("fusions", name, options, dim=D, contexts=NAMES[:contexts]).eval()


def check_by_hand(module, by_hand, missing, **options):
    query, contexts = stream(T, 1), [stream(5, 2), stream(6, 3)]
    given = [None if i in missing else c for i, c in enumerate(contexts)]
    there = [True, *(i not in missing for i in range(2))]
    weights = {n: t.double().numpy() for n, t in module.state_dict().items()}
    weights |= {n: t.numpy() for n, t in module.named_buffers() if t.dtype == torch.int64}
    fused = module(query, given).stream.tokens
    for b, t in itertools.product(range(B), range(T)):
        x = [query.tokens[b, t], *(c.tokens[b].mean(0) for c in contexts)]
        expected = by_hand(weights, [v.double().numpy() for v in x], there, **options)
        close(fused[b, t], torch.as_tensor(expected).float(), atol=3e-5, rtol=3e-5)


@pytest.mark.parametrize("missing", [(), (0,), (0, 1)])
@pytest.mark.parametrize("name", BY_HAND)
@torch.no_grad()
def test_the_fusion_is_its_equation_for_three_modalities(name, missing):
    check_by_hand(made(name), BY_HAND[name], missing)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mfb", {"factors": 2, "blocks": 3}),
        ("mutan", {"rank": 2}),
        ("block", {"chunks": 2, "rank": 3}),
        ("mcb", {"size": 15}),
        ("low_rank_tensor", {"rank": 1}),
    ],
)
@torch.no_grad()
def test_options_are_those_of_the_equation(name, options):
    check_by_hand(made(name, **options), BY_HAND[name], (1,), **options)


@torch.no_grad()
def test_film_is_its_equation():
    """c <- u + relu((1 + g) norm(B u) + b), u = relu(A c + a), then the maximum over tokens."""
    module = made("film", contexts=2, blocks=3)
    p = {n: t.double().numpy() for n, t in module.state_dict().items()}
    mask = torch.ones(B, 6, dtype=torch.bool)
    mask[1, 2:] = False
    query, contexts = stream(T, 1), [stream(5, 2), stream(6, 3, mask)]
    fused = module(query, contexts).stream.tokens
    for b, t in itertools.product(range(B), range(T)):
        modulation = affine(p, "modulation", query.tokens[b, t].double().numpy()).reshape(3, 2, D)
        found = []
        for name, context in zip(NAMES, contexts, strict=False):
            for token in context.tokens[b][context.mask[b]].double().numpy():
                c = token + p[f"joined.kinds.{name}"]
                for block, (gain, shift) in enumerate(modulation):
                    u = relu(affine(p, f"first.{block}", c))
                    v = p[f"second.{block}.weight"] @ u
                    v = (v - v.mean()) / math.sqrt(v.var() + 1e-5)
                    c = u + relu((1 + gain) * v + shift)
                found.append(c)
        assert len(found) == 11 if b != 1 else 7
        expected = affine(p, "out", np.max(found, 0))
        close(fused[b, t], torch.as_tensor(expected).float())


@torch.no_grad()
def test_film_hears_the_query_where_every_context_is_missing():
    module = made("film")
    one, two = (module(stream(T, seed), [None, None]).stream.tokens for seed in (1, 2))
    assert not torch.allclose(one, two)


def test_the_hashes_are_the_same_whatever_the_seed_and_are_saved():
    modules = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        modules.append(build_part("fusions", "mcb", {}, dim=D, contexts=("image",)))
    one, two = (m.state_dict() for m in modules)
    assert torch.equal(one["places"], two["places"])
    assert torch.equal(one["signs"], two["signs"])
    assert not torch.equal(one["places"][0], one["places"][1])
    assert set(one["signs"].unique().tolist()) == {-1.0, 1.0}
    assert not torch.equal(one["out.weight"], two["out.weight"])


def test_the_signed_root_has_a_slope_everywhere():
    z = torch.tensor([[0.0, 0.0, 0.0], [0.0, 4.0, -9.0], [1e-9, 4.0, -9.0]], requires_grad=True)
    out = power_normalised(z)
    assert not out[0].any()
    close(out[1], torch.tensor([0.0, 2.0, -3.0]) / math.sqrt(13))
    close(out[2, 0], torch.tensor(math.sqrt(1e-9 / 13)), atol=1e-9)
    out.sum().backward()
    assert z.grad.isfinite().all()
    assert z.grad[1:].abs().max() < 1


def test_the_slope_of_the_signed_root_is_that_of_the_formula_where_it_is_not_steep():
    z = (numbers((4, 6), 3) + numbers((4, 6), 3).sign()).double().requires_grad_()
    assert torch.autograd.gradcheck(power_normalised, z)


@pytest.mark.parametrize("name", [*BY_HAND, "film"])
def test_autocast_in_bfloat16_gives_what_float32_gives(name):
    torch.manual_seed(0)
    module = build_part("fusions", name, {}, dim=32, contexts=("image",))
    tokens = [torch.randn(16, n, 32, generator=torch.Generator().manual_seed(n)) for n in (1, 5)]
    query, context = (Stream.whole(t) for t in tokens)

    def run(half):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = module(query, [context]).stream.tokens
        (out.float() * numbers(out.shape, 1)).sum().backward()
        return out.detach().float(), torch.cat([p.grad.flatten() for p in module.parameters()])

    (full, gradient), (half, other) = run(False), run(True)
    assert (full - half).norm() <= 0.03 * full.norm()
    assert torch.cosine_similarity(gradient, other, dim=0) >= 0.99


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("film", {"blocks": 0}, "blocks must be at least 1, got 0"),
        ("mfb", {"factors": 0}, "factors and blocks must be at least 1"),
        ("mfb", {"blocks": 0}, "factors and blocks must be at least 1"),
        ("mutan", {"rank": 0}, "rank must be at least 1, got 0"),
        ("block", {"chunks": 3}, "chunks must divide the width 8, got 3"),
        ("block", {"rank": 0}, "rank must be at least 1, got 0"),
        ("mcb", {"size": 1}, "size must be at least 2, got 1"),
        ("tensor", {"size": 0}, "size must be at least 1, got 0"),
        ("low_rank_tensor", {"rank": -1}, "rank must be at least 1, got -1"),
    ],
)
def test_an_impossible_option_is_explained(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        build_part("fusions", name, options, dim=D, contexts=("image",))


def test_every_one_of_them_is_registered():
    assert {*BY_HAND, "film"} <= set(registry.names("fusions"))

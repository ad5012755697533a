"""On copied weights, each fusion gives what its paper's reference code gave.

The numbers are in `bilinear_references.json`, and are made by `bilinear_references.py`.
"""

import itertools
import json

import numpy as np
import pytest
import torch

from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.zoo.bilinear_references import (
    CHUNKS,
    FACTORS,
    FILE,
    RANK,
    SKETCH,
    WIDTH,
    inputs,
    numbers,
)
from tests.zoo.test_bilinear_fusions import normed
from tests.zoo.test_fusion_contract import close

CASES = json.loads(FILE.read_text())["cases"]


def reference_weights(case):
    return {n: numbers(shape, seed) for n, (shape, seed) in CASES[case]["weights"].items()}


def copied(name, weights, **options):
    """The fusion of two modalities with these weights, all of them."""
    module = build_part("fusions", name, options, dim=WIDTH, contexts=("image",)).eval()
    module.load_state_dict(weights)
    return module


def check_reference(module, output):
    query, context = (Stream.whole(x[:, None]) for x in inputs())
    close(module(query, [context]).stream.tokens[:, 0], torch.tensor(output))


def renamed(weights, names):
    """Weights by our names: {our layer: the reference's}."""
    return {f"{o}.{w}": weights[f"{n}.{w}"] for o, n in names.items() for w in ("weight", "bias")}


PROJECTIONS = {"project.0": "linear0", "project.1": "linear1", "out": "linear_out"}


@pytest.mark.parametrize("name", ["sum", "hadamard"])
@torch.no_grad()
def test_sum_and_hadamard_are_the_references(name):
    weights = renamed(reference_weights(name), PROJECTIONS)
    check_reference(copied(name, weights), CASES[name]["output"])


def factors_first(weights):
    """The reference has the factors of a feature in neighbouring rows, ours the features of one."""
    return {
        n: w
        if n.startswith("out")
        else w.unflatten(0, (WIDTH, FACTORS)).transpose(0, 1).flatten(0, 1)
        for n, w in weights.items()
    }


@torch.no_grad()
def test_mfb_is_the_reference():
    weights = factors_first(renamed(reference_weights("mfb"), PROJECTIONS))
    check_reference(copied("mfb", weights, factors=FACTORS), CASES["mfb"]["output"])


@torch.no_grad()
def test_mfb_of_two_blocks_is_the_reference_of_mfh():
    given = reference_weights("mfh")
    blocks = [
        factors_first(
            renamed(
                given, {f"project.{i}": f"linear{i}_{b}" for i in (0, 1)} | {"out": "linear_out"}
            )
        )
        for b in (0, 1)
    ]
    weights = {
        n: w if n.startswith("out") else torch.cat([w, blocks[1][n]]) for n, w in blocks[0].items()
    }
    check_reference(copied("mfb", weights, factors=FACTORS, blocks=2), CASES["mfh"]["output"])


@torch.no_grad()
def test_mutan_is_the_reference():
    names = PROJECTIONS | {"core.0": "merge_linear0", "core.1": "merge_linear1"}
    weights = renamed(reference_weights("mutan"), names)
    check_reference(copied("mutan", weights, rank=RANK), CASES["mutan"]["output"])


@torch.no_grad()
def test_block_is_the_reference():
    chunks = itertools.product(range(CHUNKS), range(2))
    names = PROJECTIONS | {f"cores.{c}.{i}": f"merge_linears{i}.{c}" for c, i in chunks}
    weights = renamed(reference_weights("block"), names)
    check_reference(copied("block", weights, rank=RANK, chunks=CHUNKS), CASES["block"]["output"])


@torch.no_grad()
def test_mcb_pools_as_the_reference():
    """The reference has no signed root and no norm after the pooling: they are put behind it."""
    case = CASES["mcb"]
    w, b = numbers((WIDTH, SKETCH), 20), numbers((WIDTH,), 21)
    weights = {n: torch.tensor(case[n]) for n in ("places", "signs")}
    module = copied("mcb", weights | {"out.weight": w, "out.bias": b}, size=SKETCH)
    expected = [w.numpy() @ normed(z) + b.numpy() for z in case["output"]]
    check_reference(module, np.stack(expected).astype(np.float32))


@torch.no_grad()
def test_multiplicative_is_the_reference():
    """Whose first modality is our context: W (contexts, query, out), U (contexts, out), V, b."""
    given = reference_weights("multiplicative")
    weights = {
        "weights.weight": given["W"].permute(2, 1, 0).reshape(WIDTH * WIDTH, WIDTH),
        "weights.bias": given["V"].T.flatten(),
        "biases.weight": given["U"].T,
        "biases.bias": given["b"],
    }
    module = copied("multiplicative", weights)
    query, context = (Stream.whole(x[:, None]) for x in inputs())
    close(
        module(context, [query]).stream.tokens[:, 0],
        torch.tensor(CASES["multiplicative"]["output"]),
    )


@torch.no_grad()
def test_low_rank_tensor_is_the_reference():
    """Whose weights of the ranks are in our query's factors, and whose ones come first."""
    given = reference_weights("low_rank_tensor")
    weights = {"bias": given["bias"][0]}
    for i, scale in enumerate((given["weights"][0][:, None, None], 1.0)):
        factor = given[f"factors.{i}"] * scale  # (R, 1 + D, D)
        weights[f"factors.{i}.weight"] = factor[:, 1:].transpose(1, 2).flatten(0, 1)
        weights[f"factors.{i}.bias"] = factor[:, 0].flatten()
    check_reference(
        copied("low_rank_tensor", weights, rank=RANK), CASES["low_rank_tensor"]["output"]
    )


@torch.no_grad()
def test_tensor_is_the_reference():
    """Whose ones come first, and which has no layers: ours give x back, as relu(x) - relu(-x)."""
    signs = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])  # (2 D, D)
    back = torch.block_diag(signs, torch.ones(1, 1))  # [relu(x); relu(-x); 1] -> [x; 1]
    of_products, b = numbers((WIDTH, WIDTH + 1, WIDTH + 1), 20), numbers((WIDTH,), 21)
    weights = {"mix.weight": (back @ of_products @ back.T).flatten(1), "mix.bias": b}
    for i in (0, 1):
        weights |= {f"embed.{i}.weight": signs, f"embed.{i}.bias": torch.zeros(2 * WIDTH)}
    module = copied("tensor", weights, size=2 * WIDTH)
    outer = torch.tensor(CASES["tensor"]["output"]).unflatten(1, (WIDTH + 1, WIDTH + 1))
    ones_last = outer.roll(-1, 1).roll(-1, 2)
    expected = (torch.einsum("bij,dij->bd", ones_last, of_products) + b).relu()
    check_reference(module, expected.tolist())

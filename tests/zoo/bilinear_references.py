"""Runs the papers' reference code on numbers of a fixed formula; its outputs are the fixture.

    python -m tests.zoo.bilinear_references BLOCK MULTIBENCH

BLOCK and MULTIBENCH are checkouts of Cadene/block.bootstrap.pytorch and pliang279/MultiBench, at
the commits named below. It writes `bilinear_references.json`: by case, the outputs, and of each
weight of the reference its shape and the seed of `numbers` that it was filled with. torch.rfft and
irfft, which the first needs and torch has no longer, are put back meanwhile, made of torch.fft.
"""

import importlib.util
import json
import math
import sys
import types
from pathlib import Path

import torch

FILE = Path(__file__).with_name("bilinear_references.json")
SOURCES = {
    "block": {
        "repository": "https://github.com/Cadene/block.bootstrap.pytorch",
        "commit": "e938e9e269d2ec67499db327b903edbe821fed5f",
        "licence": "BSD-3-Clause",
        "file": "block/models/networks/fusions/fusions.py",
    },
    "multibench": {
        "repository": "https://github.com/pliang279/MultiBench",
        "commit": "49f9be224f342de005b7f001281f33df4301eb22",
        "licence": "MIT",
        "file": "fusions/common_fusions.py",
    },
}
SAMPLES, WIDTH, FACTORS, RANK, CHUNKS, SKETCH = 3, 8, 5, 3, 4, 16


def numbers(shape, seed):
    """Numbers in [-1, 1] without structure that a fusion could miss, the same everywhere."""
    place = torch.arange(math.prod(shape), dtype=torch.float64) + 1
    return torch.sin(0.37 * (seed + 1) * place**1.5).reshape(shape).float()


def inputs():
    """The query and the context, (B, D)."""
    return [numbers((SAMPLES, WIDTH), seed) for seed in (0, 1)]


def load(path, package):
    """A module from its file, in an empty package, so that its relative imports are found."""
    spec = importlib.util.spec_from_file_location(f"{package}.{Path(path).stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def filled(module, more=()):
    """Fill the weights, and say with what: {name: [shape, seed]}."""
    said = {}
    weights = [*module.named_parameters(), *more]
    for seed, (name, weight) in enumerate(weights, start=10):
        weight.data.copy_(numbers(weight.shape, seed))
        said[name] = [list(weight.shape), seed]
    return said


def cases(block, multibench):
    dims = [WIDTH, WIDTH]
    size = {"input_dims": dims, "output_dim": WIDTH, "mm_dim": WIDTH}
    plain = {"activ_input": None, "activ_output": None, "normalize": True, "factor": FACTORS}
    interactions = multibench.MultiplicativeInteractions2Modal(dims, WIDTH, "matrix")
    low_rank = multibench.LowRankTensorFusion(dims, WIDTH, RANK)
    more = [(f"factors.{i}", factor) for i, factor in enumerate(low_rank.factors)]
    more += [("weights", low_rank.fusion_weights), ("bias", low_rank.fusion_bias)]
    yield "sum", block.LinearSum(**size), ()
    yield "hadamard", block.MLB(**size, activ_input="tanh", activ_output=None), ()
    yield "mfb", block.MFB(**size, **plain), ()
    yield "mfh", block.MFH(**size, **plain), ()
    yield "mutan", block.Mutan(**size, rank=RANK), ()
    yield "block", block.Block(**size, rank=RANK, chunks=CHUNKS), ()
    yield "multiplicative", interactions, ()
    yield "low_rank_tensor", low_rank, more
    yield "tensor", multibench.TensorFusion(), ()


def main(block, multibench):
    fusions = Path(block, "block/models/networks/fusions")
    for name in ("block_reference", "block_reference.fusions"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    sys.modules["block_reference"].mlp = None  # of a fusion that is not run
    torch.rfft = lambda x, _: torch.view_as_real(torch.fft.rfft(x))
    torch.irfft = lambda x, _, signal_sizes: torch.fft.irfft(
        torch.view_as_complex(x), n=signal_sizes[0]
    )
    pooling = load(fusions / "compactbilinearpooling.py", "block_reference.fusions")
    modules = (
        load(fusions / "fusions.py", "block_reference.fusions"),
        load(Path(multibench, "fusions/common_fusions.py"), "multibench_reference"),
    )
    found = {}
    for name, module, more in cases(*modules):
        weights = filled(module, more)
        with torch.no_grad():
            found[name] = {"weights": weights, "output": module(inputs()).tolist()}
    places = [(numbers((WIDTH,), seed) * 1000).long() % SKETCH for seed in (2, 3)]
    signs = [numbers((WIDTH,), seed).sign() for seed in (4, 5)]
    sketch = pooling.CompactBilinearPooling(
        WIDTH, WIDTH, SKETCH, places[0], signs[0], places[1], signs[1]
    )
    found["mcb"] = {
        "places": [p.tolist() for p in places],
        "signs": [s.tolist() for s in signs],
        "output": sketch(*inputs()).tolist(),
    }
    text = json.dumps({"sources": SOURCES, "cases": found})
    FILE.write_text(text.replace('"cases"', '\n"cases"').replace("]}, ", "]},\n") + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

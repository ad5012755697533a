"""Forward and backward of every fusion, beside MultiBench's and MMF's module of the same name.

    python benchmarks/fusions.py [FUSION ...] [--multibench PATH] [--mmf PATH] [--rounds 9]

B 128 samples, T 16 positions of the query, N 64 tokens of one context, width D 128; a fusion that
reads its context pooled is given one vector of it. PATH is a checkout of pliang279/MultiBench or of
facebookresearch/mmf, whose module is imported from there and is as large as ours: equal widths,
ranks and sketches. Theirs fuse one vector with one vector, so that they are given each position as
a sample of its own, with the context beside it. Each round times the two in turn, and the ratio is
the median over rounds: at most 1.0 is wanted, and exit code 1 says that one is above it.

`--positions 1` is what VQA does with the pooled question. There, with no other positions to save
anything at, some are slower than their peer: a context is multiplied by itself and not in one
product with the query, which would add up in another order and so give other last bits, and masks
are looked at, which the peers do not have. `film` modulates each token for each position: at T 16
26 GFLOP forward and 79 with the backward pass, 2.8 s of one core, half of it products of matrices.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from mmbench import registry
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream

D = 128


class Embedded(nn.Module):
    """What MultiBench's tensor fusion stands between: embeddings, and a layer after the tensor."""

    def __init__(self, fusion: nn.Module, size: int) -> None:
        super().__init__()
        self.embed = nn.ModuleList([nn.Linear(D, size), nn.Linear(D, size)])
        self.fusion, self.mix = fusion, nn.Linear((size + 1) ** 2, D)

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        z = [layer(v).relu() for layer, v in zip(self.embed, x, strict=True)]
        return self.mix(self.fusion(z)).relu()


def of_multibench(path: Path) -> dict[str, Callable[[], nn.Module]]:
    """By the name of ours, a way to make theirs."""
    theirs = imported(path / "fusions" / "common_fusions.py", "multibench_fusions")
    both = [D, D]
    return {
        "concat": lambda: nn.Sequential(theirs.ConcatWithLinear(2 * D, D), nn.ReLU()),
        "multiplicative": lambda: theirs.MultiplicativeInteractions2Modal(both, D, "matrix"),
        "tensor": lambda: Embedded(theirs.TensorFusion(), 32),
        "low_rank_tensor": lambda: LowRank(theirs.LowRankTensorFusion(both, D, 4)),
    }


class LowRank(nn.Module):
    """MultiBench's, whose factors are in a plain list: here they are parameters, with gradients."""

    def __init__(self, fusion: Any) -> None:
        super().__init__()
        self.fusion, self.factors = fusion, nn.ParameterList(fusion.factors)

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return self.fusion(x)


def of_mmf(path: Path) -> dict[str, Callable[[], nn.Module]]:
    """By the name of ours, a way to make theirs.

    Its `mcb` is left out: since torch 1.8 it takes complex spectra for pairs of real numbers, and
    computes, quickly, something else.
    """
    registration = MagicMock()
    registration.registry.register_fusion = lambda name: lambda cls: cls
    names = ("omegaconf", "iopath", "git", "mmf", "mmf.common", "mmf.utils", "mmf.utils.logger")
    more = ("mmf.utils.distributed", "mmf.utils.file_io", "mmf.utils.configuration")
    sys.modules |= dict.fromkeys([*names, *more], MagicMock())
    sys.modules["mmf.common.registry"] = registration
    imported(path / "mmf" / "utils" / "general.py", "mmf.utils.general")
    theirs = imported(path / "mmf" / "modules" / "fusions.py", "mmf.modules.fusions")
    size = {"input_dims": [D, D], "output_dim": D, "mm_dim": D}
    tanh = {"activ_input": "tanh", "activ_output": None}
    plain = {"activ_input": None, "activ_output": None, "normalize": True, "factor": 5}
    return {
        "concat": lambda: nn.Sequential(theirs.ConcatMLP([D, D], D, dimensions=[]), nn.ReLU()),
        "sum": lambda: theirs.LinearSum(**size),
        "hadamard": lambda: theirs.MLB(**size, **tanh),
        "mfb": lambda: theirs.MFB(**size, **plain),
        "mutan": lambda: theirs.Mutan(**size, rank=5),
        "block": lambda: theirs.Block(**size, rank=15, chunks=4),
    }


def imported(file: Path, name: str) -> ModuleType:
    if not file.is_file():
        sys.exit(f"{file} is not there: name a checkout of the repository")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def timed(step: Callable[[], Tensor], module: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Milliseconds of one forward and backward, with gradients of the inputs too."""
    for tensor in (*inputs, *module.parameters()):
        tensor.grad = None
    began = time.perf_counter()
    out = step()
    out.backward(torch.ones_like(out))
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fusions", nargs="*", metavar="FUSION")
    parser.add_argument("--multibench", type=Path, metavar="PATH")
    parser.add_argument("--mmf", type=Path, metavar="PATH")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--positions", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    known = registry.names("fusions")
    if unknown := [name for name in options.fusions if name not in known]:
        parser.error(f"no fusion {unknown[0]}: there are {', '.join(known)}")
    warnings.filterwarnings("ignore", ".*xavier_normal. is now deprecated")
    peers = {
        "MultiBench": of_multibench(options.multibench) if options.multibench else {},
        "MMF": of_mmf(options.mmf) if options.mmf else {},
    }
    torch.manual_seed(0)
    b, t, n = options.batch, options.positions, options.tokens
    print(f"B {b}, T {t}, N {n}, D {D}, {torch.get_num_threads()} threads, {options.rounds} rounds")
    print("milliseconds, median; ratio of ours to theirs (at most 1.0)")
    above = []
    for name in options.fusions or known:
        for peer, ratio in compared(name, peers, (b, t, n), options.rounds):
            if ratio > 1:
                above.append(f"{name} is above {peer}'s")
    if above:
        sys.exit("; ".join(above))


def compared(
    name: str,
    peers: dict[str, dict[str, Callable[[], nn.Module]]],
    sizes: tuple[int, int, int],
    rounds: int,
) -> list[tuple[str, float]]:
    """Time a fusion and its peers in turn, print a line of it, and give the ratios by peer."""
    b, t, n = sizes
    ours = build_part("fusions", name, {}, dim=D, contexts=("image",)).train()
    tokens = n if ours.context_form == "tokens" else 1
    query, context = (torch.randn(b, k, D, requires_grad=True) for k in (t, tokens))

    def our_step() -> Tensor:
        return ours(Stream.whole(query), [Stream.whole(context)]).stream.tokens

    runs: dict[str, Callable[[], float]] = {"": lambda: timed(our_step, ours, (query, context))}
    for peer, made in peers.items():
        if name in made:
            theirs = made[name]().train()

            def their_step(theirs: nn.Module = theirs) -> Tensor:
                return theirs([query.flatten(0, 1), context.expand(-1, t, -1).flatten(0, 1)])

            assert their_step().shape == (b * t, D)
            runs[peer] = lambda step=their_step, net=theirs: timed(step, net, (query, context))
    times = [[run() for run in runs.values()] for _ in range(rounds + 2)][2:]  # after a warm-up
    mine, *other = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [statistics.median(row[0] / row[i] for row in times) for i in range(1, len(runs))]
    found = list(zip([p for p in runs if p], ratios, strict=True))
    said = [f"{p} {ms:8.2f} ({r:.2f})" for (p, r), ms in zip(found, other, strict=True)]
    print(f"{name:18} {mine:8.2f}", *said, sep="   ", flush=True)
    return found


if __name__ == "__main__":
    main()

"""How large a batch pays: 1, 2, 4, ... media until nothing is gained, or no memory is left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmbench.data.batches import query_batches
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.records.environment import PeakMemory
from mmbench.training.memory import is_out_of_memory

_GAIN = 1.05  # of throughput, below which a batch twice as large gains nothing
_SHARE = 0.8  # of the memory that is free, which a batch on the CPU may take
_TRIES = 10  # of each batch, of which the quickest counts
_ENOUGH = 0.5  # seconds after which a batch is not tried again


@dataclass(frozen=True)
class BatchCost:
    """What a batch of answers takes.

    Attributes:
        batch: media (with all that is asked about each).
        samples: that are answered.
        seconds: of the quickest of up to ten tries, collation included.
        peak_memory_mb: largest resident size of the process meanwhile, in 10^6 bytes; None where
            the system does not tell it.
        peak_gpu_memory_mb: most memory of tensors on the GPU; None without one.
    """

    batch: int
    samples: int
    seconds: float
    peak_memory_mb: float | None
    peak_gpu_memory_mb: float | None

    @property
    def samples_per_second(self) -> float:
        """Throughput."""
        return self.samples / self.seconds


@dataclass(frozen=True)
class BatchSearch:
    """Batches that were tried.

    Attributes:
        tried: each twice as large as the one before; at least one.
        stopped: why no larger one was, in words.
    """

    tried: Sequence[BatchCost]
    stopped: str

    @property
    def largest(self) -> BatchCost:
        """The largest one that was tried and fits."""
        return self.tried[-1]


def search_batches(
    answer: Callable[[Sequence[Query]], object],
    queries: Sequence[Query],
    device: torch.device,
    seconds: float,
) -> BatchSearch:
    """Answer larger and larger batches.

    On a GPU a batch is tried, and one that finds no memory ends the search. On a CPU a system that
    runs out of memory ends the process: there a batch that would take most of what is free, by what
    the two before took, is not tried.

    Args:
        answer: answers a batch.
        queries: of which batches are made; the largest one holds all of them.
        device: that they are answered on.
        seconds: after which no larger one is tried.
    Raises: MMBenchError if even a batch of one finds no memory.
    """
    began = time.perf_counter()
    tried: list[BatchCost] = []
    batch, failed = 1, 0
    while True:
        chosen = [queries[place] for place in next(iter(query_batches(queries, batch)))]
        try:
            cost = _cost_of(answer, chosen, batch, device)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if not tried:
                raise MMBenchError(f"not even one sample finds memory on {device}") from None
            return BatchSearch(tried, f"{batch} find no memory")
        gains = not tried or cost.samples_per_second > _GAIN * tried[-1].samples_per_second
        failed = 0 if gains else failed + 1
        tried.append(cost)
        if len(chosen) == len(queries):
            return BatchSearch(tried, f"all {len(queries):,} samples are in it")
        if failed == 2:  # one may have been disturbed
            return BatchSearch(tried, "larger ones gain nothing")
        if time.perf_counter() - began > seconds:
            return BatchSearch(tried, f"{seconds:g} s are over")
        if device.type == "cpu" and not _has_room(tried):
            return BatchSearch(tried, "a larger one may not find memory")
        batch *= 2


def _cost_of(
    answer: Callable[[Sequence[Query]], object],
    queries: Sequence[Query],
    batch: int,
    device: torch.device,
) -> BatchCost:
    memory = PeakMemory(device)
    times: list[float] = []
    while len(times) < _TRIES and sum(times) < _ENOUGH:
        start = time.perf_counter()
        answer(queries)
        times.append(time.perf_counter() - start)
    best = min(times)
    return BatchCost(batch, len(queries), best, memory.resident_mb(), memory.gpu_mb())


def _has_room(tried: Sequence[BatchCost]) -> bool:
    """Whether a batch twice as large as the last one will find memory on a CPU."""
    free = _free_mb()
    peaks = [cost.peak_memory_mb for cost in tried]
    if free is None or len(tried) < 2 or peaks[-1] is None or peaks[-2] is None:
        return True
    # What the last batch took more than the one before it is what half of it takes.
    return 4 * max(0.0, peaks[-1] - peaks[-2]) < _SHARE * free


def _free_mb() -> float | None:
    """Memory that this process may still take, in 10^6 bytes; None where it is not known."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        return kilobytes * 1024 / 1e6
    except (OSError, StopIteration):
        pass
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    return None

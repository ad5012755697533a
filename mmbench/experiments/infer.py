"""Inference: a model's answers to samples, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mmbench.data.batches import GroupBatches
from mmbench.data.sample import Sample
from mmbench.model import TaskModel, move

_LATENCIES = 50  # samples asked alone
_LATENCY_SECONDS = 1.0  # after which no more are asked


class ModelPredictor:
    """A `TaskModel` as a `Predictor`.

    Args:
        model: on the device.
        device: where it runs.
        batch: groups a batch; it changes the speed, never the answers.
        advanced: called with the number of samples after each batch.
    """

    def __init__(
        self,
        model: TaskModel,
        device: torch.device,
        batch: int,
        advanced: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._model = model
        self._device = device
        self._batch = batch
        self._advanced = advanced

    def predict(self, samples: Sequence[Sample]) -> list[Any]:
        """An answer per sample, in order."""
        self._model.eval()
        self._model.prepare(samples)
        answers: list[Any] = [None] * len(samples)
        with torch.inference_mode():
            for places in GroupBatches(samples, self._batch).indices():
                chosen = [samples[place] for place in places]
                batch = move(self._model.collate(chosen, targets=False), self._device)
                for place, answer in zip(places, self._model.answer(batch), strict=True):
                    answers[place] = answer
                self._advanced(len(chosen))
            return self._model.conclude(samples, answers)


def latencies_alone(
    model: TaskModel, samples: Sequence[Sample], device: torch.device
) -> list[float]:
    """Seconds that samples take when each is asked alone, after one that is not counted.

    As many as `_LATENCIES`, fewer where `_LATENCY_SECONDS` are over before; frozen features that
    `prepare` kept are taken as they are.
    """
    model.eval()
    step = max(1, len(samples) // _LATENCIES)
    seconds: list[float] = []
    began = time.perf_counter()
    with torch.inference_mode():
        for sample in [samples[0], *samples[::step][:_LATENCIES]]:
            if seconds and time.perf_counter() - began > _LATENCY_SECONDS:
                break
            start = time.perf_counter()
            model.answer(move(model.collate([sample], targets=False), device))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
    return seconds[1:] or seconds


def flops_per_sample(model: TaskModel, sample: Sample, device: torch.device) -> int:
    """Floating-point operations of answering one sample alone; a multiply-add counts two.

    Those of frozen encoders are among them.
    """
    model.eval()
    model.reuses_features = False
    batch = move(model.collate([sample], targets=False), device)
    model.reuses_features = True
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.answer(batch)
    return int(counter.get_total_flops())

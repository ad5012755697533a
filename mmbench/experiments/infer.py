"""Inference: a model's answers to queries, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch

from mmbench.compiled import compiled
from mmbench.data.batches import query_batches
from mmbench.data.sample import Query
from mmbench.experiments.operations import operations_of
from mmbench.model import Batch, TaskModel, move
from mmbench.processes import here
from mmbench.task import Answer

_LATENCIES = 50  # queries asked alone
_CONCLUDED = 240  # queries whose answers are concluded together when operations are counted
_LATENCY_SECONDS = 1.0  # after which no more are asked
_REPEATED = 4  # times that a text is asked on average, for it to be encoded once for all
_COLLATED_BYTES = 32 * 2**20  # of batches that are made in a row, before the first is answered


class ModelPredictor:
    """A `TaskModel` as a `Predictor`, compiled where that is asked for (`mmbench.compiled`).

    Of several processes of a run (`mmbench.processes`) each answers whole batches, and has the
    answers of all: the same as one process gives.

    Args:
        model: on the device.
        device: where it runs.
        batch: media (with all that is asked about each) a batch; it changes the speed, never the
            answers.
        advanced: called with the number of queries after each batch.
    """

    of_all_processes = True

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
        self._answer = compiled(model.answer) if model.answers_at_once else model.answer

    def predict(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """An answer per query, in order, as soon as all before it are there."""
        self._make_ready(queries)
        self._keep_repeated(queries)
        try:
            found = chain.from_iterable(self._in_order(queries, None))
            yield from map(Answer, self._model.conclude(queries, found))
        finally:
            self._model.keep((), ())

    def before_conclusion(
        self, queries: Sequence[Query], without: str | None = None
    ) -> Iterator[Any]:
        """What the model answers to each query by itself, which it concludes its answers from.

        Args:
            without: a modality that all the queries lack.
        """
        self._make_ready(queries)
        return chain.from_iterable(self._in_order(queries, without))

    def warm_up(self, queries: Sequence[Query]) -> None:
        """Answer the first and the last batch: what is compiled for it is not in a time then."""
        self._model.eval()
        self._keep_repeated(queries)
        first, *others = query_batches(queries, self._batch)
        for places in [first, *others[-1:]]:
            self._answers([queries[place] for place in places])

    def _make_ready(self, queries: Sequence[Query]) -> None:
        self._model.eval()
        self._model.prepare(queries)

    def _keep_repeated(self, queries: Sequence[Query]) -> None:
        """Let the model encode texts once for all batches, where most are asked again and again.

        Of media all that is asked stands in one batch anyway.
        """
        texts = [query.inputs.get("text") for query in queries]
        if len(set(texts)) <= len(texts) / _REPEATED:
            self._model.keep(queries, ["text"])

    def _answers(self, queries: Sequence[Query], without: str | None = None) -> list[Any]:
        return self._answered(self._collate(queries, without))

    def _collate(self, queries: Sequence[Query], without: str | None) -> Batch:
        batch = self._model.collate(queries)
        return batch if without is None else self._model.without(batch, without)

    def _answered(self, batch: Batch) -> list[Any]:
        with torch.inference_mode():  # not while whoever asked has the answer
            return self._answer(move(batch, self._device))

    def _collated(
        self, queries: Sequence[Query], without: str | None
    ) -> Iterator[tuple[list[int], Batch]]:
        """The places of each batch, and the batch.

        Small ones are made several in a row: between two answers making one finds caches full of
        the network, and leaves them full of Python's objects, which takes thrice the time.
        """
        made: list[tuple[list[int], Batch]] = []
        size = 0
        for places in query_batches(queries, self._batch):
            batch = self._collate([queries[place] for place in places], without)
            made.append((places, batch))
            size += sum(tensor.nbytes for tensor in batch.values())
            if size >= _COLLATED_BYTES:
                yield from made
                made, size = [], 0
        yield from made

    def _in_order(self, queries: Sequence[Query], without: str | None) -> Iterator[list[Any]]:
        """What the model answers to each query, to some at a time."""
        if here().several:
            yield self._of_all(queries, without)
            return
        waiting: dict[int, Any] = {}
        following = 0
        for places, batch in self._collated(queries, without):
            answers = self._answered(batch)
            self._advanced(len(places))
            if not waiting and places == list(range(following, following + len(places))):
                yield answers
                following += len(places)
                continue
            waiting.update(zip(places, answers, strict=True))
            while following in waiting:
                yield [waiting.pop(following)]
                following += 1

    def _of_all(self, queries: Sequence[Query], without: str | None) -> list[Any]:
        """What all processes together answer to each query."""
        from accelerate.utils import send_to_device

        batches = list(query_batches(queries, self._batch))
        own: dict[int, Any] = {}
        for start in range(0, len(batches), here().count):
            at_once = batches[start : start + here().count]
            for places in at_once[here().place : here().place + 1]:
                answers = self._answers([queries[place] for place in places], without)
                own.update(zip(places, answers, strict=True))
            self._advanced(sum(map(len, at_once)))
        found = {place: answer for part in here().of_each(own) for place, answer in part.items()}
        answered: list[Any] = send_to_device(
            [found[place] for place in range(len(queries))], self._device
        )
        return answered


def latencies_alone(
    model: TaskModel, queries: Sequence[Query], device: torch.device
) -> list[float]:
    """Seconds that queries take when each is asked alone, after one that is not counted.

    As many as `_LATENCIES`, fewer where `_LATENCY_SECONDS` are over before; frozen features that
    `prepare` kept are taken as they are.
    """
    model.eval()
    step = max(1, len(queries) // _LATENCIES)
    seconds: list[float] = []
    began = time.perf_counter()
    with torch.inference_mode():
        for query in [queries[0], *queries[::step][:_LATENCIES]]:
            if seconds and time.perf_counter() - began > _LATENCY_SECONDS:
                break
            start = time.perf_counter()
            model.answer(move(model.collate([query]), device))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
    return seconds[1:] or seconds


def flops_per_sample(model: TaskModel, queries: Sequence[Query], device: torch.device) -> int:
    """Floating-point operations of the whole way to an answer; a multiply-add counts two.

    A query of each kind is answered alone (retrieval asks by text and by image), and counts as
    often as its kind is asked; what the model makes of all answers together, such as scoring each
    query's candidates anew, is shared among the first queries. Frozen encoders count.
    """
    steps = steps_to_an_answer(model, queries, device)
    return round(sum(share * operations_of(step) for share, step in steps))


def steps_to_an_answer(
    model: TaskModel, queries: Sequence[Query], device: torch.device
) -> Iterator[tuple[float, Callable[[], Any]]]:
    """What is done for an answer, one call after the other, and how much of each is one query's.

    Frozen encoders run meanwhile, whatever was kept of them.
    """
    model.eval()
    kinds: dict[tuple[str, ...], list[Query]] = {}
    for query in queries:
        kinds.setdefault(tuple(query.inputs), []).append(query)
    model.reuses_features = False
    try:
        for same in kinds.values():
            batch = move(model.collate(same[:1]), device)
            yield len(same) / len(queries), partial(model.answer, batch)
    finally:
        model.reuses_features = True
    if type(model).conclude is not TaskModel.conclude:
        some = queries[:_CONCLUDED]
        with torch.inference_mode():
            answers = model.answer(move(model.collate(some), device))
        yield 1 / len(some), lambda: list(model.conclude(some, answers))

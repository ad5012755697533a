"""Carries requests out: one after the other in this process, or several side by side in processes
or on a cluster.

A process is told its request, says how it goes, and leaves a record: the record on disk is the
result. So nothing of a run is lost with whoever asked for it, and a request could as well be
carried out on another machine.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from mmbench.computing import threads_alone, usable_cores
from mmbench.errors import MMBenchError
from mmbench.experiments.outcome import Failed, Outcome, Outcomes, keep_traceback
from mmbench.experiments.plan import Splits, make_plan
from mmbench.experiments.result import RunResult
from mmbench.experiments.run import carry_out, has_record
from mmbench.experiments.watch import SILENT, Watch
from mmbench.option_words import as_called
from mmbench.records.verification import verified
from mmbench.request import RunRequest
from mmbench.study import HERE, Engine

_PATIENCE = 3.0  # seconds that processes get to end by themselves
_LAST_LINES = 3  # of what a process said before it died

# Ctrl-C at a terminal reaches every process; those that work are told by the one that is theirs.
_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from mmbench.experiments.worker import main
main()
"""


def outcomes(
    requests: Sequence[RunRequest],
    jobs: int = 1,
    watch: Watch = SILENT,
    read: dict[str, Splits] | None = None,
    engine: Engine = HERE,
) -> Outcomes:
    """Each request with what came of it, as they end. Whoever stops early closes it.

    Args:
        requests: to carry out.
        jobs: how many at a time; more than one run in processes of their own, on one device alike.
        watch: told of progress.
        read: splits that are read already; for runs in this process.
        engine: what carries them out, where it is not this machine.
    """
    read = {} if read is None else read
    if engine.ray:
        return _over_cluster(requests, engine, watch, read)
    if jobs == 1:
        return _in_turn(requests, watch, read)
    return _side_by_side(requests, jobs, watch, read)


def threads_beside(jobs: int) -> int | None:
    """How many threads each of so many runs takes; None where that is what one takes alone.

    Cores are shared out: with more threads than cores each run would wait for the others' threads.
    """
    share = max(1, usable_cores() // jobs)
    return share if share < threads_alone() else None


def _in_turn(requests: Sequence[RunRequest], watch: Watch, read: dict[str, Splits]) -> Outcomes:
    for request in requests:
        outcome: Outcome
        try:
            outcome = carry_out(request, watch, read)
        except MMBenchError as error:
            outcome = Failed(str(error))
        yield request, outcome


def _recorded(requests: Sequence[RunRequest], read: dict[str, Splits]) -> list[RunRequest]:
    """Those that have a record: they are taken in turn, sooner than a process is started."""
    return [request for request in requests if has_record(make_plan(request, read))]


def _over_cluster(
    requests: Sequence[RunRequest], engine: Engine, watch: Watch, read: dict[str, Splits]
) -> Outcomes:
    from mmbench.experiments.ray_engine import over_cluster

    recorded = _recorded(requests, read)
    yield from _in_turn(recorded, watch, read)
    new = [request for request in requests if request not in recorded]
    yield from over_cluster(new, engine.address, watch)


def _side_by_side(
    requests: Sequence[RunRequest], jobs: int, watch: Watch, read: dict[str, Splits]
) -> Outcomes:
    recorded = _recorded(requests, read)
    yield from _in_turn(recorded, watch, read)
    waiting = deque(request for request in requests if request not in recorded)
    said: SimpleQueue[tuple[_Worker, Any]] = SimpleQueue()
    notes = [f"up to {jobs} runs at once: its times are not those of a run alone (--jobs {jobs})"]
    workers: list[_Worker] = []
    try:
        while waiting and len(workers) < jobs:
            workers.append(_Worker(said, watch.beside(), notes))
            workers[-1].give(waiting.popleft())
        while any(worker.request for worker in workers):
            worker, message = said.get()
            request = worker.request
            outcome = worker.heard(message)
            if outcome is None or request is None:
                continue
            if worker.ended:
                workers.remove(worker)
                _stop([worker])
            if waiting:
                if worker.ended:
                    worker = _Worker(said, watch.beside(), notes)
                    workers.append(worker)
                worker.give(waiting.popleft())
            yield request, outcome
    finally:
        _stop(workers)


class _Worker:
    """A process that carries out one request after the other (`mmbench.experiments.worker`).

    Args:
        said: where what it says is put, for the main thread.
        watch: told of the progress of its runs.
        notes: for their records.
    Attributes:
        request: that it carries out now.
        ended: whether it is no more.
    """

    def __init__(
        self, said: SimpleQueue[tuple[_Worker, Any]], watch: Watch, notes: Sequence[str]
    ) -> None:
        self.request: RunRequest | None = None
        self.ended = False
        self._watch = watch
        self._notes = list(notes)
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        # Not by multiprocessing, which would run the main module of whoever calls again.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        follows = (self._follow_messages, self._follow_lines)
        self._threads = [Thread(target=follow, args=[said], daemon=True) for follow in follows]
        for thread in self._threads:
            thread.start()

    def give(self, request: RunRequest) -> None:
        """Let it carry this out."""
        self.request = request
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the end of its messages says so
            pickle.dump((request, self._notes), self.process.stdin)
            self.process.stdin.flush()

    def close(self) -> None:
        """It has ended: so do the threads that follow what it says."""
        for thread in self._threads:
            thread.join(_PATIENCE)  # its own children may live a moment longer
        if self.request is not None:
            self._watch.ended("stopped")
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not any(thread.is_alive() for thread in self._threads):
                stream.close()

    def heard(self, message: Any) -> Outcome | None:
        """What came of its request, if this message says so."""
        match message:
            case "line", str(line):
                self._last.append(line)
                sys.stderr.write(line)
                return None
            case "stepped", loss, samples, steps:
                self._watch.stepped(lambda: float(loss), samples, steps)
                return None
            case "told", str(what), arguments:
                getattr(self._watch, what)(*arguments)
                return None
        request, self.request = self.request, None
        if request is None:
            return None
        match message:
            case "done", str(path), bool(reused):
                folder = Path(path)
                return RunResult(verified(folder), folder, reused)
            case "failed", str(reason):
                return Failed(as_called(reason))
        self.ended = True
        self._watch.done()
        self._watch.ended("failed")
        match message:
            case "crashed", str(reason), str(traceback):
                file = keep_traceback(request, traceback)
                return Failed(f"crashed: {reason}. Its traceback is in {file}", broke=True)
        return Failed(as_called(self._death()), broke=True)

    def _death(self) -> str:
        """How it ended, in a line."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return (
                "its process was killed (SIGKILL), as a system does that runs out of memory. "
                "Fewer --jobs, or a smaller batch, take less"
            )
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        last = " / ".join(line.strip() for line in self._last)
        return f"its process ended {how}{f', and said last: {last}' if last else ''}"

    def _follow_messages(self, said: SimpleQueue[tuple[_Worker, Any]]) -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, pickle.UnpicklingError, OSError, ValueError):
            while True:
                said.put((self, pickle.load(self.process.stdout)))
        said.put((self, None))

    def _follow_lines(self, said: SimpleQueue[tuple[_Worker, Any]]) -> None:
        assert self.process.stderr is not None
        with suppress(OSError, ValueError):
            for line in self.process.stderr:
                said.put((self, ("line", line.decode("utf-8", "replace"))))


def _stop(workers: Sequence[_Worker]) -> None:
    """End the processes: those that work stop as at Ctrl-C, with what is kept of their runs."""
    for worker in workers:
        assert worker.process.stdin is not None
        with suppress(OSError):
            worker.process.stdin.close()  # which tells it
    until = time.monotonic() + _PATIENCE
    for worker in workers:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.close()

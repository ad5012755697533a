"""Carries requests out on a cluster of Ray: a task each, with the cores or the GPU that it takes.

A task leaves its record in the folder that was asked for, where its machine sees that folder, so
that a training that is cut off there goes on; elsewhere the record comes back through Ray. A task
whose machine or process dies is tried again, and costs no other.
"""

from __future__ import annotations

import logging
import re
import shutil
import socket
import sys
import tempfile
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmbench.errors import Interrupted, MMBenchError, in_one_line
from mmbench.experiments.outcome import Failed, Outcome, Outcomes, keep_traceback
from mmbench.experiments.plan import Splits
from mmbench.experiments.result import RunResult
from mmbench.experiments.run import carry_out
from mmbench.experiments.watch import Watch
from mmbench.option_words import as_called, on_command_line
from mmbench.records.locks import held
from mmbench.records.store import RUN_FILE
from mmbench.records.verification import verified
from mmbench.records.writing import put_in_place, temporary_prefix, writing_to
from mmbench.request import RunRequest, placed
from mmbench.training.kinds import device_kind

_TRIES_AGAIN = 2  # of a task whose machine or process died
_PATIENCE = 5.0  # seconds for a machine to answer, or for tasks that are stopped to end
_LOOK = 5.0  # seconds between looks whether there is a machine for what is left
_PORT = re.compile(r"(?:ray://)?\[?([\w.:-]+?)\]?:(\d+)")

Made = tuple[Any, ...]

_READ: dict[str, Splits] = {}  # by a task, for the next that this process is given


def over_cluster(requests: Sequence[RunRequest], address: str | None, watch: Watch) -> Outcomes:
    """Each request with what came of it, as they end. Whoever stops early closes it.

    Args:
        requests: to carry out; those without a record.
        address: of the cluster ("10.0.0.1:6379"); None for the one that runs here, or one of this
            machine alone that is started for it.
    Raises: MMBenchError where Ray is not installed or cannot be reached, or no machine of the
        cluster has what a request takes.
    """
    if not requests:
        return
    with _cluster(address) as ray, _mark(requests) as mark:
        takes = _resources(requests[0])
        if not _room(ray, takes):
            raise MMBenchError(
                f"no machine of the cluster has {_words(takes)}, which a run takes: it has "
                f"{_words(_largest(ray))} at most"
            )
        task = ray.remote(max_retries=_TRIES_AGAIN, **takes)(_task)
        given = {task.remote(_anywhere(request), mark): request for request in requests}
        waiting = list(given)
        try:
            while waiting:
                ended, waiting = ray.wait(waiting, num_returns=1, timeout=_LOOK)
                for one in ended:
                    yield given[one], _outcome(ray, one, given[one], watch)
                if not ended and not _room(ray, takes):
                    lost = "the machines of the cluster that could carry it out are gone"
                    yield from ((given[one], Failed(lost, broke=True)) for one in waiting)
                    waiting = []
        finally:
            for one in waiting:
                with suppress(Exception):  # the cluster may be gone
                    ray.cancel(one)
            if waiting:
                with suppress(Exception):
                    ray.wait(waiting, num_returns=len(waiting), timeout=_PATIENCE)


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, joined to a cluster."""
    try:
        import ray
    except ImportError:
        raise MMBenchError(
            "--engine ray needs Ray: `pip install 'mmbench[ray]'`, here and on all machines of "
            "the cluster. --jobs runs several at a time without it"
        ) from None
    if ray.is_initialized():  # by whoever calls from Python
        yield ray
        return
    _check_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        where = f"at {address}" if address else "here"
        raise MMBenchError(
            f"no cluster of Ray can be joined {where}: {in_one_line(error)}. "
            "`ray start --head` starts one"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Raise MMBenchError now, and not after minutes, where nothing listens at an address."""
    found = _PORT.fullmatch(address or "")
    if found is None:
        return
    host, port = found[1], int(found[2])
    try:
        socket.create_connection((host, port), _PATIENCE).close()
    except OSError as error:
        starts = f"`ray start --head --port {port}` starts one there"
        raise MMBenchError(
            f"no cluster of Ray answers at {address}: {error.strerror or error}. {starts}, and "
            "`ray status` says whether it runs"
        ) from None


@contextmanager
def _mark(requests: Sequence[RunRequest]) -> Iterator[str]:
    """The name of a file in all folders of records, by which a machine sees that it shares them."""
    name = f".shared-{uuid.uuid4().hex}"
    files = [out / name for out in dict.fromkeys(request.out.resolve() for request in requests)]
    for file in files:
        with writing_to(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    try:
        yield name
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def _anywhere(request: RunRequest) -> RunRequest:
    """The request as any machine of the cluster understands it.

    On a GPU the one that Ray gives the task is the only one that it sees.
    """
    return placed(request).model_copy(
        update={"out": request.out.resolve(), "device": device_kind(request.device)}
    )


def _resources(request: RunRequest) -> dict[str, float]:
    """What a run takes of a machine, as Ray counts it."""
    gpus = {"num_gpus": 1} if device_kind(request.device) == "cuda" else {}
    return {"num_cpus": request.threads or 1, **gpus}


def _nodes(ray: Any) -> list[dict[str, float]]:
    """What the machines of the cluster have."""
    return [
        {"num_cpus": of.get("CPU", 0), "num_gpus": of.get("GPU", 0)}
        for node in ray.nodes()
        if node["Alive"]
        for of in [node["Resources"]]
    ]


def _room(ray: Any, takes: dict[str, float]) -> bool:
    """Whether some machine, were it idle, has what a task takes."""
    return any(all(has[key] >= count for key, count in takes.items()) for has in _nodes(ray))


def _largest(ray: Any) -> dict[str, float]:
    nodes = _nodes(ray) or [{"num_cpus": 0, "num_gpus": 0}]
    return {key: max(node[key] for node in nodes) for key in nodes[0]}


def _words(takes: dict[str, float]) -> str:
    """
    >>> _words({"num_cpus": 2, "num_gpus": 1})
    '2 CPUs and 1 GPU'
    """
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    each = [f"{n:g} {names[key]}{'' if n == 1 else 's'}" for key, n in takes.items()]
    return " and ".join(each)


def _where() -> str:
    """The machine, and what Ray calls it."""
    ray: Any = sys.modules["ray"]  # which calls this
    node = ray.get_runtime_context().get_node_id()
    return f"{socket.gethostname()} (node {node[:8]})"


def _task(request: RunRequest, mark: str) -> Made:
    """Carry out a request on a machine of the cluster."""
    return _carried_out(request, mark, f"by Ray on {_where()}: its times are those beside others")


@on_command_line()  # whoever reads what it says puts it into their words
def _carried_out(request: RunRequest, mark: str, note: str) -> Made:
    """What came of a request, as plain data.

    Args:
        mark: see `_mark`.
        note: for its record.
    """
    try:
        if (request.out / mark).exists():
            result = carry_out(request, read=_READ, notes=[note])
            return "done", str(result.path), result.reused
        with tempfile.TemporaryDirectory(prefix="mmbench-") as folder:
            own = request.model_copy(update={"out": Path(folder)})
            result = carry_out(own, read=_READ, notes=[note])
            files = {file.name: file.read_bytes() for file in result.path.iterdir()}
            return "sent", str(result.path.relative_to(folder)), files
    except MMBenchError as error:
        return "failed", str(error)
    except (KeyboardInterrupt, Interrupted) as error:
        return "failed", str(error) or "stopped"
    except Exception as error:
        return "crashed", in_one_line(error), "".join(traceback.format_exception(error))


def _outcome(ray: Any, task: Any, request: RunRequest, watch: Watch) -> Outcome:
    """What came of a task that has ended."""
    try:
        made = ray.get(task)
    except ray.exceptions.RayError as error:
        tries = f"{_TRIES_AGAIN + 1} tries"
        return Failed(
            f"its process or machine died in each of {tries}: {in_one_line(error)}", broke=True
        )
    match made:
        case "done", str(path), bool(reused):
            return RunResult(verified(Path(path)), Path(path), reused)
        case "sent", str(place), dict(files):
            folder = request.out / place
            _receive(request.out, folder, files, watch)
            return RunResult(verified(folder), folder, reused=False)
        case "failed", str(reason):
            return Failed(as_called(reason))
        case "crashed", str(reason), str(text):
            file = keep_traceback(request, text)
            return Failed(f"crashed: {reason}. Its traceback is in {file}", broke=True)
    raise AssertionError(f"a task gave {type(made).__name__}")


def _receive(out: Path, folder: Path, files: dict[str, bytes], watch: Watch) -> None:
    """Put a record that was made elsewhere in its place, whole or not at all."""
    with held(out, folder, watch.says), writing_to(folder):
        temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(folder), dir=folder.parent))
        try:
            temporary.chmod(0o755)
            for name, content in files.items():
                (temporary / name).write_bytes(content)
            put_in_place(temporary, folder, RUN_FILE)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

"""One run by several processes: as many as `accelerate launch`, or torchrun, has started.

Each process does all that the others do, in the same order, but for its share of the samples: of
each batch in training, of all queries in answering. What the others need to know of it they are
told where this module is called, at which each waits for the others. The first process alone
writes, and speaks to the user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mmbench.errors import MMBenchError, in_one_line

if TYPE_CHECKING:
    import torch

# What launchers tell the processes that they start: torchrun and accelerate, or mpirun.
_COUNTS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_PLACES = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
_LONGEST_WAIT = timedelta(days=1)  # for the first one, that scores; a process that ends ends all

T = TypeVar("T")


class ProcessLost(MMBenchError):
    """Another process of this run has ended, and said why itself."""


class _Grouped(Protocol):
    @property
    def group(self) -> str: ...


G = TypeVar("G", bound=_Grouped)


@dataclass(frozen=True)
class Processes:
    """The processes of a run.

    Attributes:
        place: of this one, from 0.
        count: how many there are.
        here: the place of this one on its machine.
    """

    place: int = 0
    count: int = 1
    here: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.place == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def own(self, device: torch.device) -> torch.device:
        """The device that is this process's, where the kind alone was named."""
        import torch

        if self.several and device.type == "cuda" and device.index is None:
            return torch.device("cuda", self.here)
        return device

    def by_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all of them."""
        if not self.several:
            return make()
        from accelerate.utils import broadcast_object_list

        value = [make() if self.first else None]
        with _of_all():
            broadcast_object_list(value)
        return value[0]  # type: ignore[return-value]

    def if_first(self, does: Callable[[], AbstractContextManager[Any]]) -> Any:
        """A context in the first process; in the others none."""
        return does() if self.first else nullcontext()

    def of_each(self, value: T) -> list[T]:
        """The value that each process has, in their order, on the CPU."""
        if not self.several:
            return [value]
        from accelerate.utils import gather_object
        from accelerate.utils.operations import recursively_apply

        own = recursively_apply(lambda tensor: tensor.detach().cpu().clone(), value)
        with _of_all():
            found: list[T] = gather_object([own])
        return found

    def first_then_others(self, make: Callable[[], T]) -> T:
        """What each process makes; the others once the first is done, and find what it kept."""
        if self.first:
            made = make()
        self.wait()
        return made if self.first else make()

    def wait(self) -> None:
        """Until all are here."""
        self.by_first(lambda: None)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in the tensor's place; no gradient passes."""
        if self.several:
            import torch

            with _of_all():
                torch.distributed.all_reduce(tensor)
        return tensor

    def spread(self, tensors: Sequence[torch.Tensor]) -> None:
        """Give the first process's values to all, in the tensors' places."""
        if not self.several:
            return
        import torch

        with _of_all():
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def share(self, batch: Sequence[G]) -> Sequence[G]:
        """This process's part of a batch, whole groups; all of it where groups are too few.

        Where they are, each process makes the same of all samples, and the mean over processes is
        that of one.
        """
        groups = list(dict.fromkeys(sample.group for sample in batch))
        if len(groups) < self.count or not self.several:
            return batch
        own = set(groups[self.place :: self.count])
        return [sample for sample in batch if sample.group in own]


ALONE = Processes()
_joined = ALONE


def here() -> Processes:
    """The processes of the run that goes on here; one alone where none was joined."""
    return _joined


def started() -> int:
    """How many processes a launcher has started, told without torch."""
    return _told(_COUNTS, 1)


def speaks() -> bool:
    """Whether this process is the one that prints."""
    return started() == 1 or _told(_PLACES, 0) == 0


def launched_in_vain() -> str:
    """In words, that a launcher was asked for several processes and started one; "" if not."""
    if started() > 1 or os.environ.get("ACCELERATE_USE_CPU", "").lower() != "true":
        return ""
    if "MASTER_PORT" not in os.environ:
        return ""
    return (
        "`accelerate launch --cpu` starts one process, however many it is asked for, and this is "
        "it: `torchrun --nproc-per-node 2 -m mmbench run ...` starts two"
    )


def _told(names: Sequence[str], otherwise: int) -> int:
    found = (os.environ[name] for name in names if os.environ.get(name, "").isdigit())
    return int(next(found, otherwise))


def join(device: str) -> Processes:
    """The processes that a launcher has started, from now on as one run; this one alone if none.

    Args:
        device: the kind that they compute on.
    Raises: MMBenchError where accelerate is not installed, or they cannot find each other.
    """
    global _joined
    if started() == 1 or _joined.several:
        return _joined
    try:
        from accelerate import PartialState
    except ImportError:
        raise MMBenchError(
            f"a launcher has started {started()} processes of this run, which work together by "
            "accelerate: `pip install 'mmbench[accelerate]'`, or start one"
        ) from None
    try:
        state = PartialState(cpu=device == "cpu", timeout=_LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise MMBenchError(f"the processes of this run cannot meet: {error}") from None
    _joined = Processes(state.process_index, state.num_processes, state.local_process_index)
    return _joined


def leave() -> None:
    """End what `join` began, where all have got to the end."""
    global _joined
    if _joined.several:
        from accelerate import PartialState

        PartialState().destroy_process_group()
        _joined = ALONE


def refuse_several(what: str, instead: str) -> None:
    """Raise MMBenchError where a launcher has started several processes.

    Args:
        what: is not done by several ("--repeats").
        instead: what to do.
    """
    if started() > 1:
        raise MMBenchError(f"{what} is not shared out among {started()} processes: {instead}")


@contextmanager
def _of_all() -> Iterator[None]:
    """Within, a process that is gone is said to be."""
    try:
        yield
    except RuntimeError as error:  # whatever the backend makes of it
        raise ProcessLost(
            f"another of the {_joined.count} processes of this run has ended, and so do all "
            f"({in_one_line(error)}). The same command goes on after the last whole epoch"
        ) from None

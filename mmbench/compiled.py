"""`--compile`: torch.compile of what runs again and again, a training step's losses and answers.

What is compiled are functions, never modules: the model is what it was, with the names that its
checkpoint has, and whoever counts its operations or asks it alone runs it as it is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree

from mmbench.errors import MMBenchError, in_one_line

Given = ParamSpec("Given")
Result = TypeVar("Result")

# Dropout draws what it draws uncompiled, so that only the order of sums differs.
_OPTIONS: dict[str, Any] = {"fallback_random": True}
_FOLDER = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps what it compiled
_STEADY = 3  # batches of equal sizes in a row, after which a CUDA graph of these sizes is made

_compiling: ContextVar[torch.device | None] = ContextVar("compiling", default=None)


@contextmanager
def compiling(wanted: bool, device: torch.device) -> Iterator[None]:
    """Within, if it is wanted, `compiled` compiles for this device.

    Raises: MMBenchError where nothing can be compiled, at once; and where torch fails to compile
        some function.
    """
    if not wanted:
        yield
        return
    check_compiler(device)
    from torch._dynamo.exc import TorchDynamoException

    # torch gives up on a function that it compiled eight times: let no earlier run count.
    torch.compiler.reset()
    token = _compiling.set(device)
    try:
        yield
    except TorchDynamoException as error:
        raise MMBenchError(
            f"torch {torch.__version__} cannot compile this model: {in_one_line(error)}. "
            "Leave --compile off."
        ) from error
    finally:
        _compiling.reset(token)


def compiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function, compiled where `compiling` asks for it, else as it is.

    It may be called with tensors of any sizes: they are unknowns of one program. On CUDA sizes that
    come again and again, as where all pictures and texts of a task are of one size, get a program
    of their own, replayed as a CUDA graph.
    """
    device = _compiling.get()
    if device is None:
        return function
    return _Compiled(function, graphs=device.type == "cuda")


def check_compiler(device: torch.device) -> None:
    """Compile something small.

    Raises: MMBenchError that says what is missing: a C++ compiler on a CPU, Triton on a GPU.
    """
    _compile_apart()
    from torch._inductor import cpp_builder

    if device.type == "cpu":
        try:  # by itself: what is tried below may lie compiled on the disk
            cpp_builder.get_cpp_compiler()
        except RuntimeError:
            raise MMBenchError(
                "--compile needs a C++ compiler on the CPU, and none was found: install g++ (or "
                "name one by the environment variable CXX), or leave --compile off"
            ) from None
    try:
        torch.compile(_twice)(torch.ones(4, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        raise MMBenchError(
            f"--compile cannot compile for {device.type} here: {in_one_line(error)}. Mend that, "
            "or leave --compile off."
        ) from error


@lru_cache
def _compile_apart() -> tempfile.TemporaryDirectory[str] | None:
    """Let this process, and those that it starts, compile into a folder that ends with it.

    What is compiled lands in a folder that all programs share by default, and not all at once: one
    that is killed meanwhile leaves half a library there, which breaks each later run. A folder that
    the user names is taken as it is.
    """
    if _FOLDER in os.environ:  # torch sets it too, to the shared one, when its compiler is imported
        return None
    folder = tempfile.TemporaryDirectory(prefix="mmbench_compiled_", ignore_cleanup_errors=True)
    os.environ[_FOLDER] = folder.name
    return folder


class _Compiled(Generic[Given, Result]):
    """A function compiled for all sizes; on CUDA also for those that keep coming, as a CUDA graph.

    A graph is of fixed sizes, and its outputs lie where the next replay writes: they are copied.
    """

    def __init__(self, function: Callable[Given, Result], graphs: bool) -> None:
        self._of_any_size = torch.compile(function, dynamic=True, options=_OPTIONS)
        self._graph: Callable[Given, Result] | None = None
        if graphs:
            options = _OPTIONS | {"triton.cudagraphs": True}
            self._graph = torch.compile(function, dynamic=False, options=options)
        self._sizes = _Steady(_STEADY)

    def __call__(self, *given: Given.args, **named: Given.kwargs) -> Result:
        if self._graph is None or not self._sizes.seen(_sizes_of((given, named))):
            return self._of_any_size(*given, **named)
        torch.compiler.cudagraph_mark_step_begin()
        result: Result = _pytree.tree_map_only(Tensor, Tensor.clone, self._graph(*given, **named))
        return result


class _Steady:
    """Which sizes come so often in a row that a program of their own pays; one at most."""

    def __init__(self, often: int) -> None:
        self._often = often
        self._last: Any = None
        self._count = 0
        self._steady: Any = None

    def seen(self, sizes: Any) -> bool:
        """Whether these, which are here now, are those."""
        self._count = self._count + 1 if sizes == self._last else 1
        self._last = sizes
        if self._steady is None and self._count > self._often:
            self._steady = sizes
        return bool(sizes == self._steady)


def _sizes_of(given: Any) -> tuple[torch.Size, ...]:
    return tuple(leaf.shape for leaf in _pytree.tree_leaves(given) if isinstance(leaf, Tensor))


def _twice(x: Tensor) -> Tensor:
    return x + x

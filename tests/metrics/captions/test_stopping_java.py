"""Ctrl-C while programs answer: they end, and no other starts."""

import signal
import threading

import numpy as np
import pytest

from mmbench.errors import ToolError
from mmbench.metrics.base import MeanMetric
from mmbench.metrics.captions.java import JavaProgram, beside, pycocoevalcap_folder
from mmbench.metrics.suite import compute_statistics

TOKENIZER = (
    "the tokenizer",
    ["-cp", "stanford-corenlp-3.4.1.jar", "edu.stanford.nlp.process.PTBTokenizer"],
    pycocoevalcap_folder("tokenizer"),
)


class Beside(MeanMetric):
    """Starts a program, has Ctrl-C pressed while it answers, and tries to start another."""

    name = "beside"
    source = "none"
    own_process = True

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.ended = threading.Event()

    def statistics(self, predictions, targets):
        try:
            with JavaProgram(*TOKENIZER) as program:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                program.answer(["a dog runs on the beach"] * 2_000_000, seconds=600)
        except ToolError as error:
            self.errors.append(str(error))
        try:
            JavaProgram(*TOKENIZER)
        except ToolError as error:
            self.errors.append(str(error))
        self.ended.set()
        return np.zeros((len(predictions), 1))


class Meanwhile(MeanMetric):
    name = "meanwhile"
    source = "none"

    def statistics(self, predictions, targets):
        threading.Event().wait(60)
        return np.zeros((len(predictions), 1))


@pytest.fixture
def _ctrl_c():
    """It raises, also where tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_ends_programs_starts_none_and_the_next_use_may_start_some_again():
    metric = Beside()
    with pytest.raises(KeyboardInterrupt):
        compute_statistics([metric, Meanwhile()], ["a"], ["a"])
    assert metric.ended.wait(60)
    killed, refused = metric.errors
    assert "exit code -9" in killed
    assert "was not started" in refused
    with beside(1) as pool:
        assert pool.submit(ask_one).result() == ["a", "dog"]


def ask_one():
    with JavaProgram(*TOKENIZER) as program:
        return program.answer(["a dog"], seconds=60)


def test_another_error_waits_for_the_threads_and_stops_no_program():
    answers = []

    def fails():
        with beside(1) as pool:
            pool.submit(lambda: answers.append(ask_one()))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    with beside(1) as pool:
        pool.submit(lambda: answers.append(ask_one()))
    assert answers[-1] == ["a", "dog"]

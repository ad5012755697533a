"""Training told to a logger, beside whoever is told of it anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbench import registry
from mmbench.errors import MMBenchError, in_one_line
from mmbench.experiments.watch import Watch
from mmbench.loggers.base import Logger, Outcome
from mmbench.records.record import Record

_PARTS = 5  # of a record's folder below `out`: task, dataset, model, hash, seed


class LoggedWatch(Watch):
    """Tells a logger of each training, and another watch of everything.

    A logger that cannot begin stops the run before it trains. One that fails later is told no more
    and said so: training goes on, since `log.jsonl` has it all.

    Args:
        watch: told of everything.
        logger: its registered name.
        out: where records are kept.
    Raises: MMBenchError if there is no such logger, or a package that it needs is not installed.
    """

    def __init__(self, watch: Watch, logger: str, out: Path) -> None:
        self._watch = watch
        self._asked = logger, out
        self._logger: Logger = registry.load("loggers", logger)(out)
        self._model = ""  # of the run that is open
        self._begun = False  # whether the logger was told so
        self._lost = False  # whether it failed since
        self._name = ""
        self._settings: Mapping[str, Any] = {}
        self._stage = ""
        self._before = self._latest = 0

    def beside(self) -> LoggedWatch:
        return LoggedWatch(self._watch.beside(), *self._asked)

    def says(self, line: str) -> None:
        self._watch.says(line)

    def read(self, what: str, done: int, of: int) -> None:
        self._watch.read(what, done, of)

    def began(self, model: str, seed: int) -> None:
        self._watch.began(model, seed)
        if self._model and model.startswith(f"{self._model} "):  # a stage of the run
            self._stage = model.removeprefix(f"{self._model} ") + "/"
            self._before = self._latest
        else:
            self._model, self._stage = model, ""
            self._before = self._latest = 0

    def will_record(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._watch.will_record(folder, settings)
        self._name = "/".join(folder.parts[-_PARTS:])
        self._settings = settings

    def started(self, epochs: int, steps: int, epoch: int) -> None:
        self._watch.started(epochs, steps, epoch)
        self._latest = self._before + epoch
        if self._begun:
            return
        try:
            self._logger.begin(self._name, self._settings, self._latest)
        except self._logger.errors as error:
            raise MMBenchError(
                f"the logger {self._asked[0]} cannot begin: {in_one_line(error)}"
            ) from None
        self._begun = True

    def stepped(self, loss: Callable[[], float], samples: int, steps: int = 1) -> None:
        self._watch.stepped(loss, samples, steps)

    def finished_epoch(self, entry: dict[str, Any]) -> None:
        self._watch.finished_epoch(entry)
        self._latest = self._before + entry["epoch"]
        values = {f"{self._stage}{key}": value for key, value in values_of_entry(entry).items()}
        self._tell(lambda: self._logger.log(values, self._latest))

    def started_answering(self, samples: int) -> None:
        self._watch.started_answering(samples)

    def answered(self, samples: int) -> None:
        self._watch.answered(samples)

    def done(self) -> None:
        self._watch.done()

    def ended(self, outcome: Outcome, records: Sequence[Record] = ()) -> None:
        self._watch.ended(outcome, records)
        self._tell(lambda: self._logger.end(outcome, scores_of_records(records), self._latest))
        self._begun, self._lost, self._model = False, False, ""

    def _tell(self, call: Callable[[], None]) -> None:
        if not self._begun or self._lost:
            return
        try:
            call()
        except self._logger.errors as error:
            self._lost = True
            self.says(
                f"the logger {self._asked[0]} is told no more of {self._name}: {in_one_line(error)}"
            )


def values_of_entry(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an entry of `log.jsonl`, by the names that loggers have for them.

    >>> values_of_entry({"loss": 2.0, "lr": 0.1, "validation": -1.0, "samples_per_second": 9.0,
    ...     "chosen_by": "loss", "lower_is_better": True})
    {'loss': 2.0, 'lr': 0.1, 'samples_per_second': 9.0, 'validation/loss': 1.0}
    """
    found = {key: entry[key] for key in ("loss", "lr", "samples_per_second")}
    found |= {f"losses/{name}": value for name, value in entry.get("losses", {}).items()}
    found |= {f"conflict/{pair}": value for pair, value in entry.get("conflict", {}).items()}
    sign = -1 if entry.get("lower_is_better") else 1
    found[f"validation/{entry.get('chosen_by', 'score')}"] = sign * entry["validation"]
    return found


def scores_of_records(records: Sequence[Record]) -> dict[str, float]:
    """Their scores by the names that loggers have for them: `test/accuracy`, and before it the task
    where several were trained together.
    """
    return {
        f"{record.task}/" * (len(records) > 1) + f"{record.split}/{entry.name}": entry.value
        for record in records
        for entry in record.metrics
        if entry.category is None
    }

"""MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, Outcome, flat, needed

_LONGEST = 500  # characters of a parameter, of all stores
_MOST = 100  # parameters at a time, of all stores
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MLflow(Logger):
    """A run of the experiment `mmbench` (or MLFLOW_EXPERIMENT_NAME), where MLflow is set to.

    A training that goes on does so in its run, if that is still there.
    """

    def __init__(self, out: Path) -> None:
        mlflow = needed("mlflow", "mlflow")
        self.errors = (mlflow.exceptions.MlflowException,)
        self._entities = mlflow.entities
        self._mlflow = mlflow
        self._client: Any = None
        self._run = ""

    def begin(self, name: str, settings: Mapping[str, Any], epoch: int) -> None:
        self._client = self._mlflow.MlflowClient()
        called = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mmbench")
        found = self._client.get_experiment_by_name(called)
        experiment = found.experiment_id if found else self._client.create_experiment(called)
        if epoch and (cut := self._cut_off(experiment, name)):
            self._run = cut
            self._client.update_run(cut, status="RUNNING")
            return
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        params = [
            self._entities.Param(key, str(value)[:_LONGEST])
            for key, value in flat(settings).items()
        ]
        for first in range(0, len(params), _MOST):
            self._client.log_batch(self._run, params=params[first : first + _MOST])

    def log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(k, value, now, step) for k, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def end(self, outcome: Outcome, scores: Mapping[str, float], step: int) -> None:
        if scores:
            self.log(scores, step)
        self._client.set_terminated(self._run, _STATUS[outcome])

    def _cut_off(self, experiment: str, name: str) -> str | None:
        """The newest run of that name, unless it has finished."""
        filters = f"attributes.run_name = '{name}'"
        found = self._client.search_runs([experiment], filters, max_results=1)  # newest first
        return found[0].info.run_id if found and found[0].info.status != "FINISHED" else None

"""MLflow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.loggers.base import Logger, needed

_LONGEST = 500  # characters of a parameter, of all stores


class MLflow(Logger):
    """A run of the experiment `mmbench` (or MLFLOW_EXPERIMENT_NAME), where MLflow is set to."""

    def __init__(self, out: Path) -> None:
        self._client = needed("mlflow", "mlflow").MlflowClient()
        self._run = ""

    def begin(self, name: str, settings: Mapping[str, Any]) -> None:
        called = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mmbench")
        found = self._client.get_experiment_by_name(called)
        experiment = found.experiment_id if found else self._client.create_experiment(called)
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, json.dumps(value)[:_LONGEST])

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def end(self) -> None:
        self._client.set_terminated(self._run)

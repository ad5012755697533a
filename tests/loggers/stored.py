"""What each logger has stored, read back by its own library: a `Told` for each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Told:
    """A run, as a logger has it.

    Attributes:
        name: what it is called.
        seed, lr: two of its settings: of the request, and of the recipe.
        epochs: numbers by name, by step.
        scores: of the record.
        outcome: how it ended.
    """

    name: str
    seed: int
    lr: float
    epochs: dict[int, dict[str, float]]
    scores: dict[str, float]
    outcome: str


def of_tensorboard(out: Path) -> list[Told]:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = []
    top = out / "tensorboard"
    for folder in sorted({path.parent for path in top.rglob("events.*")}):
        events = reader.EventAccumulator(str(folder))
        events.Reload()
        rows: dict[int, dict[str, float]] = {}
        for name in events.Tags()["scalars"]:
            for event in events.Scalars(name):
                rows.setdefault(event.step, {})[name] = event.value
        texts = {
            name: [event.tensor_proto.string_val[0].decode() for event in events.Tensors(name)]
            for name in events.Tags()["tensors"]
        }
        settings = json.loads(texts["settings/text_summary"][-1].strip("`").removeprefix("json"))
        outcome = texts.get("outcome/text_summary", ["open"])[-1]
        name = folder.relative_to(top).as_posix()
        found.append(
            _told(name, settings["seed"], settings["recipe"]["train"]["lr"], rows, outcome)
        )
    return found


def of_mlflow(out: Path) -> list[Told]:
    client = pytest.importorskip("mlflow").MlflowClient()
    (experiment,) = (e for e in client.search_experiments() if e.name == "mmbench")
    found = []
    for run in client.search_runs([experiment.experiment_id], order_by=["start_time ASC"]):
        rows: dict[int, dict[str, float]] = {}
        for name in run.data.metrics:
            for metric in client.get_metric_history(run.info.run_id, name):
                rows.setdefault(metric.step, {})[name] = metric.value
        outcome = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
        seed, lr = int(run.data.params["seed"]), float(run.data.params["recipe.train.lr"])
        status = outcome.get(run.info.status, "open")
        found.append(_told(run.info.run_name, seed, lr, rows, status))
    return found


def of_trackio(out: Path) -> list[Told]:
    trackio = pytest.importorskip("trackio")
    storage = pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    found = []
    for run in trackio.Api().runs("mmbench"):
        rows: dict[int, dict[str, float]] = {}
        for row in storage.get_logs("mmbench", run.name, run_id=run.id):
            values = {key: value for key, value in row.items() if key not in ("step", "timestamp")}
            rows.setdefault(row["step"], {}).update(values)
        alerts = [alert["title"].removeprefix("training ") for alert in run.alerts()]
        scored = any(name.startswith("test/") for row in rows.values() for name in row)
        outcome = "finished" if scored else alerts[0] if alerts else "open"
        seed, lr = run.config["seed"], run.config["recipe.train.lr"]
        found.append(_told(run.name, seed, lr, rows, outcome))
    return found


def of_wandb(out: Path) -> list[Told]:
    pytest.importorskip("wandb").teardown()  # once its process has ended, all is in the files
    found = []
    for file in sorted((out / "wandb").glob("wandb/offline-run-*/*.wandb")):
        records = _wandb_records(file)
        (run,) = (record.run for record in records if record.HasField("run"))
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        rows = {}
        for record in records:
            if record.HasField("history"):
                values = _values(record.history.item)
                rows[int(values["_step"])] = values
        scores: dict[str, float] = {}
        for record in records:
            if record.HasField("summary"):
                scores |= _values(record.summary.update)
        last = max(rows, default=0)
        rows.setdefault(last, {}).update({k: v for k, v in scores.items() if "test/" in k})
        codes = [record.exit.exit_code for record in records if record.HasField("exit")]
        outcome = {0: "finished", 1: "failed", 130: "stopped"}[codes[0]] if codes else "open"
        lr = config["recipe"]["train"]["lr"]
        found.append(_told(run.display_name, config["seed"], lr, rows, outcome))
    return found


def _values(items: Any) -> dict[str, float]:
    found = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
    return {key: value for key, value in found.items() if isinstance(value, int | float)}


def _wandb_records(file: Path) -> list[Any]:
    """The records of a `.wandb` file: protocol buffers in the blocks of a LevelDB log."""
    from wandb.proto.wandb_internal_pb2 import Record

    block, head = 32768, 7
    data, at = file.read_bytes(), head  # the file's own head is as long as a piece's
    found, content = [], b""
    while at + head <= len(data):
        if block - at % block < head:  # what is left of a block has no place for a head
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        content += data[at + head : at + head + length]
        at += head + length
        if kind in (1, 4):  # whole, or the last piece
            found.append(Record.FromString(content))
            content = b""
    return found


def _told(
    name: str, seed: int, lr: float, rows: Mapping[int, dict[str, float]], outcome: str
) -> Told:
    epochs, scores = {}, {}
    for step, row in sorted(rows.items()):
        known = {key: value for key, value in row.items() if not key.startswith("_")}
        scores |= {key: value for key, value in known.items() if "test/" in key}
        if values := {key: value for key, value in known.items() if "test/" not in key}:
            epochs[step] = values
    return Told(name, seed, lr, epochs, scores, outcome)


READERS = {
    "mlflow": of_mlflow,
    "tensorboard": of_tensorboard,
    "trackio": of_trackio,
    "wandb": of_wandb,
}


def libraries(name: str) -> None:
    """Skip where a logger's library is not installed."""
    pytest.importorskip("torch.utils.tensorboard" if name == "tensorboard" else name)

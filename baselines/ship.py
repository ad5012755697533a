"""Ship the weights of reference records, and write down what they score.

    python -m mmbench_baselines.ship results/reference [TASK]

Of every record of seed 0 below the folder whose weights are there, the weights are put in float16
(large ones in a byte each) into `weights/<task>/<dataset>/<model>.safetensors` beside the recipes;
each is then run as a newcomer would run it, and its scores go to `scores.json`. Where that takes
long, so do the scores of the first samples alone, under the same name followed by `@` and how many;
tests check those.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mmbench.checkpoint import read_checkpoint, shipped_weights
from mmbench.experiments.run import run
from mmbench.records.record import Record
from mmbench.records.store import WEIGHTS_FILE, find_records
from mmbench.records.verification import verified

LARGE = 400_000  # bytes in float16 from which weights are shipped in a byte each
SCORES = Path(__file__).parent / "scores.json"
CHECKED = {
    "captioning": 200,
    "generation": 100,
    "retrieval": 100,
}  # by task, the samples that the tests score


def ship(results: Path, task: str | None = None) -> None:
    """Ship every model of seed 0 under `results`, of one task or of all, and update SCORES."""
    scores = json.loads(SCORES.read_text()) if SCORES.exists() else {}
    for folder in find_records([results]):
        record = verified(folder)
        if record.seed != 0 or not (folder / WEIGHTS_FILE).exists():
            continue
        if task is None or record.task == task:
            _ship_one(folder, record)
            name = f"{record.task}/{record.dataset}/{record.model}"
            scores[name] = _scores(record)
            if limit := CHECKED.get(record.task):
                scores[f"{name}@{limit}"] = _scores(record, limit)
    SCORES.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")


def _ship_one(folder: Path, record: Record) -> None:
    target = shipped_weights(record.task, record.dataset, record.model)
    target.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = read_checkpoint(folder / WEIGHTS_FILE)
    content = checkpoint.half().to_bytes()
    target.write_bytes(content if len(content) < LARGE else checkpoint.in_bytes().to_bytes())
    print(f"{target}: {target.stat().st_size / 1e3:,.0f} kB")


def _scores(record: Record, limit: int | None = None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as out:
        result = run(record.task, record.model, dataset=record.dataset, limit=limit, out=out)
    print(f"  {result.record.samples:,} samples: {result.value:.4f}")
    return {e.name: round(e.value, 6) for e in result.record.metrics if e.category is None}


if __name__ == "__main__":
    ship(Path(sys.argv[1]), *sys.argv[2:])

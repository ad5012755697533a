"""How long `mmbench report` takes on many records: `python benchmarks/report.py [RECORDS]`.

Records are made of the reference ones of VQA under other seeds and names, each with files and
hashes of its own, in a temporary folder: 25 models of a dataset, with as many seeds as it takes.
Timed is the whole command, several times, with every record verified; and the processor's time,
which other work on the machine lengthens less.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from mmbench.records.store import find_records, read_record, record_folder, write_record

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference" / "vqa"
KEPT = ("log.jsonl", "predictions.parquet", "statistics.npz")


def make_records(out: Path, count: int, dataset: str) -> int:
    """Write so many records, copies of a dataset's under other seeds; returns the bytes."""
    sources = find_records([REFERENCE / dataset])
    content = {
        s: {name: (s / name).read_bytes() for name in KEPT if (s / name).exists()} for s in sources
    }
    records = {source: read_record(source) for source in sources}
    size = 0
    pairs = ((seed, source) for seed in range(count) for source in sources)
    for seed, source in islice(pairs, count):
        record = records[source].model_copy(update={"seed": seed})
        folder = record_folder(
            *(out, record.task, record.dataset, record.model, record.hash, record.seed)
        )
        write_record(folder, record, content[source])
        size += sum(file.stat().st_size for file in folder.iterdir())
    return size


def main() -> None:
    """Print the time of the command in each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, nargs="?", default=500)
    parser.add_argument("--dataset", default="interactions")
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = make_records(Path(folder), asked.records, asked.dataset)
        print(f"{asked.records} records of {asked.dataset}, {size / 1e6:.0f} MB")
        for options in (["--format", "markdown"], ["--format", "latex"]):
            seconds, busy = [], []
            for _ in range(asked.times):
                begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                command = [sys.executable, "-c", "from mmbench.cli import main; main()"]
                subprocess.run(
                    [*command, "report", folder, *options], check=True, stdout=subprocess.DEVNULL
                )
                seconds.append(time.perf_counter() - begun)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            print(
                f"{' '.join(options)}: {min(seconds):.1f} to {max(seconds):.1f} s, of which the "
                f"processor {min(busy):.1f} s"
            )


if __name__ == "__main__":
    main()

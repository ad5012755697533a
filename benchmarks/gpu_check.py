"""The check of mmbench on a GPU: right, fast, and how far repeatable. Ends within 8 minutes.

    bash benchmarks/gpu.sh [--device cuda|cpu] [--quick] [--only SECTION ...] [--minutes 8]

Sections run in processes of their own, so that what one breaks (a card's context too) leaves the
others be; those that time anything run alone. What is known is printed as it comes, and is written
to gpu.json and, as tables, to gpu.md in $OUT, or in the current folder's `gpu_check/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAININGS = ["train_generation", "train_captioning", "train_retrieval", "train_vqa"]
# What runs at once, one group after the other; the seconds after which a group is ended.
GROUPS = [
    (["prepare", "parts"], 90),
    (["easy"], 60),
    (["speed"], 80),
    (["busy"], 100),
    (["compile"], 100),
    (["alike", "repeats", *TRAININGS], 480),
]
WANTED = """
Wanted: answers alike at least 99.9%, float32 error at most 1e-4, operations equal; easy-VQA at
least 99.8 in at most 15 s of training; training at least 0.9 of a bare loop; eight at once at least
3 times one; generation trained in at most 180 s; no waits in training steps.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="try the check itself, on few data")
    parser.add_argument("--only", nargs="+", metavar="SECTION")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--section", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.section:
        run_section(options)
    else:
        run_all(options)


def run_all(options: argparse.Namespace) -> None:
    """All sections, group by group, within the minutes."""
    began = time.time()
    until = began + 60 * options.minutes - 10
    out = Path(os.environ.get("OUT") or "gpu_check")
    out.mkdir(parents=True, exist_ok=True)
    _own_cache()
    found: dict[str, Any] = {"machine": machine(options.device)}
    print(json.dumps(found["machine"]), flush=True)
    for group, most in GROUPS:
        names = [name for name in group if not options.only or name in options.only]
        if names:
            run_group(names, options, min(until, time.time() + most), found)
            save(found, out)
    found["seconds"] = time.time() - began
    save(found, out)
    print((out / "gpu.md").read_text())
    print(f"all in {found['seconds']:.0f} s; tables in {out / 'gpu.md'}")


def run_group(
    names: list[str], options: argparse.Namespace, until: float, found: dict[str, Any]
) -> None:
    """Sections side by side, until they are done or the time is over."""
    threads = max(1, (os.cpu_count() or 1) // len(names))
    with tempfile.TemporaryDirectory() as folder:
        processes = {}
        began = time.time()
        for name in names:
            command = [sys.executable, __file__, "--section", name, "--device", options.device]
            command += ["--until", str(until), "--result", f"{folder}/{name}.json"]
            command += ["--quick"] if options.quick else []
            env = os.environ | {"OMP_NUM_THREADS": str(threads)}
            processes[name] = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)
        for name, process in processes.items():
            try:
                code = process.wait(max(1.0, until - time.time()))
                end = "" if code == 0 else f"ended with code {code}"
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                end = "was ended, its time was over"
            file = Path(folder, f"{name}.json")
            found[name] = json.loads(file.read_text()) if file.exists() else {}
            if end:
                found[name]["ended"] = end
            print(f"-- {name} {end or 'done'}, {time.time() - began:.0f} s", flush=True)


def run_section(options: argparse.Namespace) -> None:
    """One section, in this process."""
    job = job_of(options)
    sections = sections_by_name()
    try:
        job.write(sections[options.section](job))
    except Exception:
        print(f"section {options.section} FAILED\n{traceback.format_exc()}", flush=True)
        kept = json.loads(options.result.read_text()) if options.result.exists() else {}
        job.write(kept | {"error": traceback.format_exc()})
        sys.exit(1)


def job_of(options: argparse.Namespace) -> Any:
    """What sections are given."""
    import torch
    from gpu_setup import Job

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return Job(torch.device(options.device), options.quick, options.until, options.result)


def sections_by_name() -> dict[str, Callable[[Any], dict[str, Any]]]:
    """Every section."""
    import gpu_compile
    import gpu_right
    import gpu_speed
    import gpu_train

    right = {"alike": gpu_right.alike, "parts": gpu_right.parts, "repeats": gpu_right.repeats}
    timed = {"speed": gpu_speed.speed, "busy": gpu_speed.busy}
    return {**right, **timed, "compile": gpu_compile.compile_section, **gpu_train.SECTIONS}


def machine(device: str) -> dict[str, Any]:
    """What this runs on."""
    import torch

    found = {"python": platform.python_version(), "torch": torch.__version__}
    found |= {"cores": str(os.cpu_count()), "device": device}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        found |= {"name": properties.name, "memory_gb": f"{properties.total_memory / 1e9:.0f}"}
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return found


def _own_cache() -> None:
    """A cache of this check's own, in which nothing is trained yet; generated data are shared."""
    from mmbench.data.cache import cache_folder

    usual = cache_folder()
    own = Path(tempfile.mkdtemp(prefix="gpu_check_cache_"))
    for kind in ("scenes", "images", "audios"):
        (usual / kind).mkdir(parents=True, exist_ok=True)
        (own / kind).symlink_to(usual / kind)
    os.environ["MMBENCH_CACHE"] = str(own)


def save(found: dict[str, Any], out: Path) -> None:
    """Write gpu.json and gpu.md."""
    (out / "gpu.json").write_text(json.dumps(found, indent=1))
    lines = [f"{key}: {value}" for key, value in found["machine"].items()]
    lines = ["# On a GPU", "", ", ".join(lines), WANTED]
    for name, section in found.items():
        if isinstance(section, dict) and name != "machine":
            lines += [f"## {name}", "", *table(section), ""]
    (out / "gpu.md").write_text("\n".join(lines))


def table(section: dict[str, Any]) -> list[str]:
    """A section as a Markdown table: a row each, a column a figure."""
    rows = {key: value for key, value in section.items() if isinstance(value, dict)}
    single = {key: value for key, value in section.items() if key not in rows}
    lines = [f"- {key}: {shown(value)}" for key, value in single.items()]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    if columns:
        lines += ["", f"| | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
    for key, row in rows.items():
        cells = [shown(row[column]) if column in row else "" for column in columns]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return lines


def shown(value: Any) -> str:
    """A figure of four digits, anything else in one short line."""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    text = " ".join(str(value).split()).replace("|", "\\|")
    return text if len(text) <= 300 else f"... {text[-297:]}"


if __name__ == "__main__":
    main()

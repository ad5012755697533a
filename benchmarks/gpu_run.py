"""A command of mmbench on a machine without Java, from which little can be carried away.

    OUT=FOLDER DEVICE=cuda python benchmarks/gpu_run.py [--weights all|small|none] NAME COMMAND ...

COMMAND is one of mmbench's (`run --task vqa ...`) without `--out` and `--device`, or
`staged.py` with its options. Records are left below OUT/NAME; of their weights all, none, or a byte
each of one of those that are equal, in OUT/NAME/weights. Captions are split without Java, and
METEOR is left out, where there is none.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import staged
from gpu_setup import say, tokenise_without_java

import mmbench.cli
from mmbench.checkpoint import read_checkpoint
from mmbench.records.store import WEIGHTS_FILE
from mmbench_tasks.captioning.task import Captioning


def main() -> int:
    """The command's exit code."""
    arguments = sys.argv[1:]
    weights = "all"
    if arguments[0] == "--weights":
        weights, arguments = arguments[1], arguments[2:]
    name, *command = arguments
    out = Path(os.environ["OUT"]) / name
    where = ["--device", os.environ.get("DEVICE", "auto"), "--out", str(out)]
    if tokenise_without_java():
        Captioning.metrics = ("cider", "bleu_4", "rouge_l")
    sys.argv = (
        [command[0], *command[1:], *where]
        if command[0] == "staged.py"
        else ["mmbench", *command, *where]
    )
    code = 0
    try:
        staged.main() if command[0] == "staged.py" else mmbench.cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if weights != "all":
        carry(out, weights == "small")
    return code


def carry(out: Path, keep: bool) -> None:
    """Take the weights away from the records, and keep them in a byte each if asked for."""
    seen = set()
    for file in sorted(out.rglob(WEIGHTS_FILE)):
        checkpoint = read_checkpoint(file)
        if keep and checkpoint.sha256 not in seen:
            seen.add(checkpoint.sha256)
            target = out / "weights" / f"{file.parents[2].name}_{file.parents[1].name}.safetensors"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(checkpoint.in_bytes().to_bytes())
            say(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
        file.unlink()


if __name__ == "__main__":
    sys.exit(main())

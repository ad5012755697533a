"""How long the generated datasets take to make and to load, and what they take on disk.

    python benchmarks/scenes.py

Wanted: all splits of all three made within 20 s; train loaded, with captions, within 1 s.
All is done by one thread.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from mmbench.scenes.audio import SOUND_SPLITS
from mmbench.scenes.build import load_scenes, load_sounds, load_videos
from mmbench.scenes.video import VIDEO_SPLITS
from mmbench.scenes.world import SPLITS


def main() -> None:
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMBENCH_CACHE"] = folder
        for name, load, splits in (
            ("scenes", load_scenes, SPLITS),
            ("scenes_video", load_videos, VIDEO_SPLITS),
            ("scenes_audio", load_sounds, SOUND_SPLITS),
        ):
            before = size(Path(folder))
            began = time.perf_counter()
            for split in splits:
                load(split)
            made = time.perf_counter() - began
            total += made
            print(f"{name:13} made in {made:5.2f} s, {sum(splits.values()):6,} items, ", end="")
            print(f"{(size(Path(folder)) - before) / 1e6:4.0f} MB; ", end="")
            began = time.perf_counter()
            _ = load("train").captions
            loaded = time.perf_counter() - began
            print(f"train with captions loaded in {loaded:.2f} s (1)")
    print(f"{'all':13} made in {total:5.2f} s (20)")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()

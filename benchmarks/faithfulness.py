"""What the metrics of generated scenes say of real pictures that were made worse.

    python benchmarks/faithfulness.py

Wanted: each damage costs what it destroys, and little else. The table is in docs/generation.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from mmbench.scenes.build import scene_pictures, scene_text
from mmbench_tasks.generation.faithfulness import KINDS, Faithfulness
from mmbench_tasks.generation.features import fd_scenes, kid_scenes

COUNT = 500
Pictures = np.ndarray  # (N, 32, 32, 3) uint8


def each(change: Callable[[Image.Image], Image.Image], pictures: Pictures) -> Pictures:
    return np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures])


def blurred(pictures: Pictures, radius: float) -> Pictures:
    return each(lambda image: image.filter(ImageFilter.GaussianBlur(radius)), pictures)


def coarse(pictures: Pictures, factor: int) -> Pictures:
    return each(
        lambda image: image.reduce(factor).resize(image.size, Image.Resampling.BILINEAR), pictures
    )


def main() -> None:
    index = np.arange(COUNT)
    claims = [told[0] for told in scene_text("test", index)["claims"]]
    real = scene_pictures("test", 32, index)["pixels"]
    others = scene_pictures("test", 32, index + COUNT)["pixels"]
    targets = [{"image": r, "claims": c} for r, c in zip(real, claims, strict=True)]
    rng = np.random.default_rng(0)
    noisy = np.clip(real + rng.normal(0, 20, real.shape), 0, 255).astype(np.uint8)
    cases = {
        "the real pictures": real,
        "real pictures of other prompts": others,
        "red, green and blue exchanged": real[..., [1, 2, 0]],
        "upside down": real[:, ::-1],
        "blur of 1 pixel": blurred(real, 1),
        "blur of 1.5 pixels": blurred(real, 1.5),
        "blur of 2 pixels": blurred(real, 2),
        "half the resolution": coarse(real, 2),
        "a quarter of the resolution": coarse(real, 4),
        "noise of 20 of 255": noisy,
        "nothing but grey": np.full_like(real, 40),
    }
    metrics = [Faithfulness(), *map(Faithfulness, KINDS), fd_scenes(), kid_scenes()]
    print("| pictures | all |", " | ".join([*KINDS, "fd_scenes", "kid_scenes"]), "|")
    print("| --- |" + " ---: |" * len(metrics))
    for name, pictures in cases.items():
        values = [m.scale * m.aggregate(m.statistics(pictures, targets)) for m in metrics]
        print(f"| {name} |", " | ".join(f"{v:.1f}" for v in values), "|", flush=True)


if __name__ == "__main__":
    main()

"""Trains the recogniser of scenes: `python -m mmbench_tasks.generation.train_recogniser`.

It takes about four minutes on one core. The pictures are drawn like those of the train split, but
past its end, and with every combination of shape and colour equally often: a device that measures
models on held-out combinations must itself have seen them all. Most are blurred, warped, tinted
or tiled a little, as a generative model's are. See docs/generation.md for what came of it.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from mmbench.scenes.counter import below, bits
from mmbench.scenes.facts import ObjectFact, object_facts
from mmbench.scenes.render import ByteArray, render
from mmbench.scenes.world import (
    CANVAS,
    COLOURS,
    MOST,
    QUARTER,
    SHAPES,
    SPLITS,
    Scenes,
    present,
    sample_scenes,
)
from mmbench_tasks.generation.recogniser import (
    CELLS,
    FILE,
    SIDE,
    Outputs,
    Recogniser,
    prepare,
    read_with,
)

STREAM = "recogniser"  # of the shapes, colours and noise of its pictures
COUNT, EPOCHS, BATCH, RATE = 32_000, 2, 64, 4e-3
SPREAD = 0.8  # of the heat about a centre, in cells
CLEAN = 0.3  # share of the pictures that are shown as they are


@dataclass(frozen=True)
class Targets:
    """What is right for each of B pictures, by cell.

    Attributes:
        heat: (B, 16, 16), 1 in the cell of a centre, less around it.
        offset: (B, 2, 16, 16), from the cell's centre to that of the nearest object, x and y.
        labels: (B, 3, 16, 16), shape, colour and size of the nearest object.
    """

    heat: Tensor
    offset: Tensor
    labels: Tensor


def training_scenes(count: int) -> tuple[Scenes, ByteArray]:
    """Scenes that are in no split, and their pictures (N, 32, 32, 3)."""
    index = np.arange(SPLITS["train"], SPLITS["train"] + count)
    scenes = sample_scenes("train", index)
    shape = below(bits(f"{STREAM}/shape", index, MOST), len(SHAPES))
    colour = below(bits(f"{STREAM}/colour", index, MOST), len(COLOURS))
    scenes = replace(scenes, shape=shape, colour=colour)
    return scenes, render(scenes, STREAM, SIDE)


def train(count: int = COUNT, epochs: int = EPOCHS, seed: int = 0) -> Recogniser:
    """A recogniser trained on this many scenes, in evaluation mode."""
    torch.manual_seed(seed)
    scenes, pictures = training_scenes(count)
    network = Recogniser()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = epochs * (count // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    start = time.perf_counter()
    for step in range(steps):
        if step % (count // BATCH) == 0:
            order = torch.randperm(count).numpy()
        rows = order[step * BATCH % (count // BATCH * BATCH) :][:BATCH]
        shown = worsened(torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2).float() / 255)
        outputs = network(shown)
        loss = loss_of(outputs, targets_of(scenes, rows))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            seconds = time.perf_counter() - start
            print(f"step {step + 1}/{steps}  loss {loss:.4f}  {seconds:.0f} s", flush=True)
    return network.eval().requires_grad_(False)


def targets_of(scenes: Scenes, rows: np.ndarray) -> Targets:
    """What is right for the scenes at these places."""
    cell = CANVAS * QUARTER / CELLS  # quarter pixels
    centres = torch.from_numpy(np.stack([scenes.x[rows], scenes.y[rows]], 1) / cell).float()
    there = torch.from_numpy(present(scenes.count[rows]))  # (B, 4)
    middles = torch.arange(CELLS) + 0.5
    dx = centres[:, 0, :, None, None] - middles[None, None, None, :]  # (B, 4, 1, 16)
    dy = centres[:, 1, :, None, None] - middles[None, None, :, None]  # (B, 4, 16, 1)
    squares = (dx**2 + dy**2).masked_fill(~there[:, :, None, None], torch.inf)
    nearest = squares.argmin(1, keepdim=True)  # (B, 1, 16, 16)
    heat = torch.exp(-squares.gather(1, nearest)[:, 0] / (2 * SPREAD**2))
    who, which = there.nonzero(as_tuple=True)
    column, row = centres[who, :, which].long().T
    heat[who, row, column] = 1.0

    def of_nearest(values: Tensor) -> Tensor:  # (B, 4, 1 or 16, 1 or 16) -> (B, 16, 16)
        return values.expand(-1, -1, CELLS, CELLS).gather(1, nearest)[:, 0]

    labels = (torch.from_numpy(a[rows]) for a in (scenes.shape, scenes.colour, scenes.size))
    return Targets(
        heat,
        torch.stack([of_nearest(dx), of_nearest(dy)], 1),
        torch.stack([of_nearest(label[:, :, None, None]) for label in labels], 1),
    )


def loss_of(outputs: Outputs, targets: Targets) -> Tensor:
    """The focal loss of the heat (eq. 1), and around centres those of the offset and the labels."""
    logits, heat = outputs.heat[:, 0], targets.heat
    hit = (heat == 1).float()
    p = logits.sigmoid()
    focal = hit * (1 - p) ** 2 * F.softplus(-logits)
    focal = focal + (1 - hit) * (1 - heat) ** 4 * p**2 * F.softplus(logits)
    near = heat * (heat > 0.3)
    far = (outputs.offset - targets.offset).abs().sum(1)
    wrong = sum(
        F.cross_entropy(part, targets.labels[:, place], reduction="none")
        for place, part in enumerate(outputs[2:])
    )
    return focal.sum() / hit.sum() + (near * (far + wrong)).sum() / near.sum()


def worsened(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, 32, 32) as a generative model might have drawn them; some as they are."""
    count = len(pictures)

    def some(least: float, most: float, *shape: int) -> Tensor:  # per picture
        return torch.empty(count, *(shape or (1, 1, 1))).uniform_(least, most)

    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    coarse = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear")
    soft = torch.where(some(0, 1) < 0.5, blurred, coarse)
    worse = pictures.lerp(soft, some(-0.3, 0.9).clamp(min=0))
    worse = _warped(worse, some(-0.4, 0.7).clamp(min=0))
    tiles = torch.randn(count, 3, 4, 4) * some(-0.03, 0.03).clamp(min=0)
    worse = worse + F.interpolate(tiles, scale_factor=8.0)
    worse = worse * some(0.85, 1.15, 3, 1, 1) + some(-0.05, 0.05, 3, 1, 1)
    worse = worse + torch.randn_like(worse) * some(-0.04, 0.05).clamp(min=0)
    return torch.where(some(0, 1) < CLEAN, pictures, worse.clamp(0, 1))


def _warped(pictures: Tensor, pixels: Tensor) -> Tensor:
    """Every point moved by so many pixels (B, 1, 1, 1), in directions that change smoothly."""
    count = len(pictures)
    moves = F.interpolate(torch.randn(count, 2, 9, 9), SIDE, mode="bilinear", align_corners=True)
    still = F.affine_grid(torch.eye(2, 3).expand(count, 2, 3), [count, 3, SIDE, SIDE], False)
    grid = still + (moves * pixels * (2 / SIDE)).permute(0, 2, 3, 1)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


@torch.inference_mode()
def standardise(network: Recogniser, count: int = 4000) -> None:
    """Set the mean and deviation of the pooled features to those over so many training pictures."""
    _, pictures = training_scenes(count)
    inputs = torch.stack([prepare(picture) for picture in pictures]).split(BATCH)
    pooled = torch.cat([network.cells(part).mean((2, 3)) for part in inputs])
    network.centre, network.spread = pooled.mean(0), pooled.std(0)


def rounded(network: Recogniser) -> dict[str, Tensor]:
    """Its state in half precision, as it is shipped."""
    state: dict[str, Tensor] = network.state_dict()
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


@dataclass(frozen=True)
class Accuracy:
    """How well pictures are read.

    Attributes:
        objects: how many there are.
        counts: share of the pictures in which as many are found.
        found: share of the objects that one is found near.
        shape, colour, size: share of the objects whose attribute is read right.
        distance: mean distance of the centres, in pixels of 64.
    """

    objects: int
    counts: float
    found: float
    shape: float
    colour: float
    size: float
    distance: float


def accuracy(
    read: Sequence[Sequence[ObjectFact]], real: Sequence[Sequence[ObjectFact]]
) -> Accuracy:
    """Objects read against those there are; each is looked for within five pixels of 64."""
    objects, found, right, far = 0, 0, dict.fromkeys(("shape", "colour", "size"), 0), 0.0
    for seen, there in zip(read, real, strict=True):
        objects += len(there)
        for thing in there:
            near = [(np.hypot(o["x"] - thing["x"], o["y"] - thing["y"]), o) for o in seen]
            distance, nearest = min(near, key=lambda pair: pair[0], default=(np.inf, None))
            if nearest is not None and distance <= 5:
                found, far = found + 1, far + float(distance)
                for kind in right:
                    right[kind] += dict(nearest)[kind] == dict(thing)[kind]
    return Accuracy(
        objects=objects,
        counts=float(np.mean([len(a) == len(b) for a, b in zip(read, real, strict=True)])),
        found=found / objects,
        **{kind: count / objects for kind, count in right.items()},
        distance=far / max(found, 1),
    )


def table(network: Recogniser, count: int = SPLITS["test"]) -> str:
    """A Markdown table of its accuracy on both test splits at both sizes."""
    lines = [
        "| pictures | objects | counts | found | shape | colour | size | distance |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for split in ("test", "compositional"):
        scenes = sample_scenes(split, np.arange(count))
        real = [object_facts(objects) for objects in scenes.objects()]
        for size in (SIDE, CANVAS):
            a = accuracy(read_with(network, render(scenes, split, size)), real)
            shares = (a.counts, a.found, a.shape, a.colour, a.size)
            cells = [f"{split}, {size} px", f"{a.objects:,}", *(f"{100 * s:.2f}" for s in shares)]
            lines.append(f"| {' | '.join(cells)} | {a.distance:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Train, save in float16, and print the accuracy of what was saved."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FILE, help="where the weights go")
    parser.add_argument("--count", type=int, default=COUNT, help="scenes to train on")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    network = train(given.count, given.epochs, given.seed)
    network.load_state_dict(rounded(network))
    standardise(network)
    state = rounded(network)
    content = save(state)
    given.out.write_bytes(content)
    network.load_state_dict(state)
    digest = hashlib.sha256(content).hexdigest()[:8]
    print(f"{given.out}: {len(content):,} bytes. Set WEIGHTS in recogniser.py to {digest}")
    print(table(network))


if __name__ == "__main__":
    main()

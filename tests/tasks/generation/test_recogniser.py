"""The recogniser of scenes: what it reads in real pictures, and where its weights are from."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from mmbench.data.media import MediaRef, MediaSet
from mmbench.errors import MMBenchError
from mmbench_tasks.generation import recogniser as module
from mmbench_tasks.generation.recogniser import FILE, WEIGHTS, Recogniser, prepare, read, recogniser
from mmbench_tasks.generation.train_recogniser import (
    accuracy,
    loss_of,
    targets_of,
    training_scenes,
    worsened,
)


@pytest.mark.parametrize("split", ["test", "compositional"])
@pytest.mark.parametrize("size", [32, 64])
def test_it_reads_real_pictures_nearly_without_error(scenes, split, size):
    given = scenes(split, 200, size)
    seen = accuracy(read(given.pictures), given.objects)
    assert seen.objects > 500
    assert min(seen.counts, seen.found, seen.shape, seen.colour, seen.size) >= 0.98
    assert seen.distance < 1  # of 64 pixels


def test_accuracy_counts_what_is_wrong():
    star = {"shape": "star", "colour": "red", "size": "large", "x": 20.0, "y": 20.0}
    cross = star | {"shape": "cross", "x": 50.0}
    seen = accuracy([[star | {"x": 23.0, "colour": "blue"}], [star]], [[star, cross], [star]])
    assert (seen.objects, seen.counts, seen.distance) == (3, 0.5, 1.5)
    assert [seen.found, seen.shape, seen.size] == pytest.approx([2 / 3] * 3)
    assert seen.colour == pytest.approx(1 / 3)


def test_pictures_without_objects_are_read_as_empty():
    grey = np.random.default_rng(0).integers(30, 50, (3, 32, 32, 3), dtype=np.uint8)
    assert read(grey) == [[], [], []]
    assert read([]) == []


def test_anything_that_is_an_image_is_read_alike(real):
    picture = real.pictures[5]
    media = MediaSet(real.pictures, "digest")
    forms = [picture, Image.fromarray(picture), MediaRef(media, "digest", 5), {"image": picture}]
    first, *others = read(forms)
    assert len(first) == len(real.objects[5])
    assert others == [first] * 3
    with pytest.raises(MMBenchError, match="image 1 is an array .* of float64"):
        read([picture, picture / 255])


def test_objects_do_not_depend_on_what_else_is_read(real):
    alone = [read([picture])[0] for picture in real.pictures[:20]]
    for one, other in zip(alone, read(real.pictures[:20]), strict=True):
        assert [{**a, "x": 0, "y": 0} for a in one] == [{**b, "x": 0, "y": 0} for b in other]
        assert np.allclose([(a["x"], a["y"]) for a in one], [(b["x"], b["y"]) for b in other])


def test_at_most_eight_objects_are_read_and_no_two_in_one_place():
    # Peaks two cells apart, eight pixels of 64, drawn together by offsets in the first row
    heat = torch.full((1, 1, 16, 16), -5.0)
    heat[:, :, ::2, ::2] = torch.linspace(4, 1, 64).reshape(8, 8)
    offset = torch.zeros(1, 2, 16, 16)
    offset[:, 0, 0, ::4], offset[:, 0, 0, 2::4] = 0.5, -0.5
    others = (torch.zeros(1, n, 16, 16) for n in (5, 8, 2))
    objects = module._objects(module.Outputs(heat, offset, *others))[0]
    assert [(o["x"], o["y"]) for o in objects] == [
        *[(4.0, 2.0), (20.0, 2.0), (36.0, 2.0), (52.0, 2.0)],
        *[(2.0, 10.0), (10.0, 10.0), (18.0, 10.0), (26.0, 10.0)],
    ]


def test_the_weights_are_those_that_signatures_name():
    content = FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(WEIGHTS)
    assert len(content) < 1_000_000
    with safe_open(FILE, "pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert kinds == {torch.float16, torch.int64}


def test_other_weights_are_refused(tmp_path, monkeypatch):
    recogniser.cache_clear()
    monkeypatch.setattr(module, "FILE", tmp_path / "recogniser.safetensors")
    with pytest.raises(MMBenchError, match="cannot be read"):
        recogniser()
    (tmp_path / "recogniser.safetensors").write_bytes(FILE.read_bytes() + b" ")
    with pytest.raises(MMBenchError, match="is not the shipped recogniser"):
        recogniser()


def test_training_scenes_hold_every_combination_and_are_in_no_split(scenes):
    made, pictures = training_scenes(2000)
    assert pictures.shape == (2000, 32, 32, 3)
    combinations = {(s, c) for o in made.objects() for s, c, *_ in o}
    assert len(combinations) == 5 * 8
    seen = {picture.tobytes() for picture in pictures}
    for split in ("train", "test", "compositional"):
        assert not seen & {picture.tobytes() for picture in scenes(split).pictures}


def test_targets_and_reading_agree():
    # An output that says just what the targets say is read as just the objects there are
    made, _ = training_scenes(50)
    targets = targets_of(made, np.arange(50))
    shape, colour, size = (
        torch.nn.functional.one_hot(targets.labels[:, i], n).permute(0, 3, 1, 2).float()
        for i, n in enumerate((5, 8, 2))
    )
    heat = torch.logit(targets.heat[:, None].clamp(1e-4, 1 - 1e-4))
    read_back = module._objects(module.Outputs(heat, targets.offset, shape, colour, size))
    for seen, there in zip(read_back, made.objects(), strict=True):
        assert sorted(tuple(o.values()) for o in seen) == sorted(tuple(o) for o in there)


def test_a_little_training_lowers_the_loss():
    torch.manual_seed(0)
    made, pictures = training_scenes(8)
    shown = worsened(torch.stack([prepare(picture) for picture in pictures]))
    assert shown.shape == (8, 3, 32, 32)
    assert 0 <= shown.min() < shown.max() <= 1
    network = Recogniser()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(10):
        losses.append(loss_of(network(shown), targets_of(made, np.arange(8))))
        optimiser.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]

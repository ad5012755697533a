"""What the gated PixelCNN sees: all that is above or to the left, and nothing else."""

import pytest
import torch

from mmbench.zoo.decoders.cnn import CNNDecoder, GatedLayer
from tests.zoo.test_image_decoders import decoder, images, prompts

SIDE = 4


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return [GatedLayer(8) for _ in range(SIDE)]


def seen_from(row, column, layers):
    """Which squares the state at a place depends on, (SIDE, SIDE) bool."""
    plane = torch.randn(1, SIDE, SIDE, 8, generator=torch.Generator().manual_seed(1))
    plane.requires_grad_()
    v = torch.nn.functional.pad(plane[:, :-1], (0, 0, 0, 0, 1, 0))
    h = torch.nn.functional.pad(plane[:, :, :-1], (0, 0, 1, 0))
    for layer in layers:
        v, h = layer(v, h)
    h[0, row, column].square().sum().backward()
    return plane.grad[0].abs().sum(-1) > 0


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 3), (2, 1), (3, 0), (3, 3)])
def test_a_place_sees_all_before_it_without_a_blind_spot(layers, row, column):
    place = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    expected = place < row * SIDE + column
    assert torch.equal(seen_from(row, column, layers), expected)


def test_step_by_step_it_sees_what_it_saw_in_training():
    made, context = decoder("cnn"), prompts(3)
    assert isinstance(made, CNNDecoder)
    found = made.autoencoder.encode(images(3))
    ground, squares = made.parted(found)
    expected, _ = made(made.ground.read(ground), made.patches.read(squares), [context])
    inputs, state = made.begin(3, [context])
    for place in range(1 + made.squares):
        given, state = made.step(inputs, place, state, [context])
        torch.testing.assert_close(given[:, 0], expected[:, place])
        writer, codes = (made.patches, squares[:, place - 1]) if place else (made.ground, ground)
        inputs = writer.read(codes)[:, None]


def test_a_code_changes_no_state_of_its_own_place_or_an_earlier_one():
    made, context = decoder("cnn"), prompts(2)
    found = made.autoencoder.encode(images(2))
    ground, squares = made.parted(found)
    states, _ = made(made.ground.read(ground), made.patches.read(squares), [context])
    for changed in range(1 + made.squares):
        vectors = [made.ground.read(ground)[:, None], made.patches.read(squares)]
        written = torch.cat(vectors, 1)
        written[:, changed] = written[:, changed].flip(-1) + 1
        others, _ = made(written[:, 0], written[:, 1:], [context])
        same = (others - states).abs().amax((0, 2)) < 1e-6
        assert same[: changed + 1].all()
        assert not same[changed + 1 :].any()

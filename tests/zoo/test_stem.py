"""A stem of convolutions in the place of a Vision Transformer's patches."""

import pytest
import torch

from mmbench.errors import MMBenchError
from mmbench.zoo.encoders.stem import ConvolutionalStem
from tests.zoo.test_encoders import encoder

SIZES = {"layers": 1, "hidden": 16, "size": 32, "patch": 8}


def test_a_stem_gives_a_vector_for_each_patch_and_trains_all_of_it():
    found = ConvolutionalStem(16, 8)(torch.rand(2, 3, 32, 32, generator=torch.Generator()))
    assert found.shape == (2, 16, 4, 4)
    module = encoder("clip_vision", stem="convolutions", **SIZES)
    stream = module(torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8))
    assert stream.tokens.shape[1] == 1 + 16
    stream.tokens.square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_stem_sees_beyond_its_patch_and_patches_do_not():
    """Of the network's own vectors: the last pixel of a patch reaches the next one."""
    images = torch.zeros(1, 3, 32, 32)
    other = images.clone()
    other[..., 0, 7] = 1
    for stem, reaches in (("patches", False), ("convolutions", True)):
        layer = encoder("clip_vision", stem=stem, **SIZES).eval().network.embeddings.patch_embedding
        changed = (layer(images) - layer(other)).abs()[0, :, 0, :2].sum(0) > 0
        assert changed.tolist() == [True, reaches]


@pytest.mark.parametrize("options", [{"patch": 4, "hidden": 9}, {"patch": 6, "size": 36}])
def test_sizes_that_a_stem_cannot_halve_are_one_line(options):
    with pytest.raises(MMBenchError, match="patch must be 2, 4, 8, 16"):
        encoder("clip_vision", stem="convolutions", heads=1, **(SIZES | options))

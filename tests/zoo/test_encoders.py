"""What every encoder must keep: see `mmbench.zoo.encoders.base.Encoder`."""

import pytest
import torch

from mmbench import registry
from mmbench.zoo.part import build_part

D = 16


def inputs(modality, batch=3):
    generator = torch.Generator().manual_seed(0)
    if modality == "image":
        return torch.randint(0, 256, (batch, 3, 64, 64), generator=generator, dtype=torch.uint8)
    if modality == "video":
        shape = (batch, 16, 3, 32, 32)
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    if modality == "audio":
        shape = (batch, 2000)
        return torch.randint(-9000, 9000, shape, generator=generator, dtype=torch.int16)
    tokens = torch.randint(2, 30, (batch, 7), generator=generator)
    tokens[1, 4:] = 0
    return tokens


def encoder(name):
    torch.manual_seed(0)
    return build_part("encoders", name, {}, dim=D, vocabulary=30)


every = pytest.mark.parametrize("name", registry.names("encoders"))


@every
def test_it_gives_a_stream_of_its_width(name):
    module = encoder(name).eval()
    x = inputs(module.modality)
    stream = module(x)
    assert stream.tokens.shape[0] == len(x)
    assert stream.tokens.shape[2] == module.dim == D
    assert stream.tokens.isfinite().all()
    if module.modality == "text":
        assert torch.equal(stream.mask, x != 0)


@every
def test_a_samples_tokens_do_not_depend_on_the_others(name):
    module = encoder(name).eval()
    x = inputs(module.modality)
    together, alone = module(x), module(x[1:2])
    torch.testing.assert_close(together.pool()[1:2], alone.pool())


@every
def test_every_parameter_gets_a_gradient(name):
    module = encoder(name).train()
    pooled = module(inputs(module.modality)).pool()
    (pooled * torch.randn_like(pooled)).sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_padding_changes_no_text_encoding():
    for name in registry.names("encoders"):
        module = encoder(name).eval()
        if module.modality == "text":
            x = inputs("text")[:1]
            padded = torch.cat([x, torch.zeros(1, 4, dtype=torch.long)], dim=1)
            torch.testing.assert_close(module(x).pool(), module(padded).pool())


def test_bag_of_words_knows_no_order_and_gru_does():
    x = inputs("text")[:1]
    for name, same in (("bag_of_words", True), ("gru", False)):
        module = encoder(name).eval()
        assert torch.allclose(module(x).pool(), module(x.flip(1)).pool(), atol=1e-6) is same

"""What every encoder must keep: see `mmbench.zoo.encoders.base.Encoder`."""

import numpy as np
import pytest
import torch

from mmbench import registry
from mmbench.checks.contract import NotKept, check_name
from mmbench.checks.encoder import (
    CHECKS,
    D,
    Held,
    check_input_kept,
    check_reading,
    encoder_maker,
    inputs,
)
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.zoo.part import build_part

VOCABULARY = Vocabulary([f"word{n}" for n in range(28)])


def encoder(name, **options):
    torch.manual_seed(0)
    return build_part("encoders", name, options, dim=D, vocabulary=VOCABULARY)


every = pytest.mark.parametrize("name", registry.names("encoders"))


@every
@pytest.mark.parametrize("check", CHECKS, ids=check_name)
def test_the_contract(name, check):
    check(encoder_maker(name, {}))


def test_an_encoder_that_writes_into_its_input_is_caught():
    class Greedy(type(encoder("conv"))):
        def forward(self, x, mask=None):
            return super().forward(x.clamp_(min=9), mask)

    make = lambda seed=0: Greedy(dim=D).eval()  # noqa: E731
    check_reading(make)
    with pytest.raises(NotKept, match="changes what it is given"):
        check_input_kept(make)


def test_no_number_of_a_word_means_that_there_is_none():
    """Zero is a word to whoever says so: only the mask tells."""
    for name in ("bag_of_words", "gru", "minilm"):
        module = encoder(name).eval()
        stream = module(torch.tensor([[5, 0, 7]]), torch.ones(1, 3, dtype=torch.bool))
        assert stream.mask.all()
        assert not torch.allclose(stream.pool(), module(torch.tensor([[5, 7]])).pool())


def test_each_encoder_reads_what_samples_hold():
    for name in registry.names("encoders"):
        module = encoder(name).eval()
        if module.modality == "text":
            x, mask = module.read(["word3 word1", "word2"])
            assert mask.sum(1).tolist() == ([2, 1] if name != "minilm" else mask.sum(1).tolist())
            assert mask.shape == x.shape
        else:
            sizes = {"image": (64, 48, 3), "video": (8, 32, 32, 3), "audio": (2000,)}
            values = np.zeros(sizes[module.modality], np.int16 if name[0] == "a" else np.uint8)
            x, mask = module.read([Held(values), Held(values)])
            assert mask is None
        assert module(x, mask).tokens.shape[0] == 2


def test_bag_of_words_knows_no_order_and_gru_does():
    x = inputs("text")[:1]
    for name, same in (("bag_of_words", True), ("gru", False)):
        module = encoder(name).eval()
        assert torch.allclose(module(x).pool(), module(x.flip(1)).pool(), atol=1e-6) is same


def test_with_coordinates_the_mean_of_the_tokens_says_where_a_thing_is():
    """Without them, the same thing at two places gives the same mean, but for the borders."""
    images = torch.full((2, 3, 128, 128), 90, dtype=torch.uint8)
    images[0, 0, 40:48, 40:48] = 255
    images[1, 0, 72:80, 72:80] = 255
    for coordinates in (False, True):
        torch.manual_seed(0)
        options = {"channels": [8], "coordinates": coordinates}
        module = build_part("encoders", "conv", options, dim=D).eval()
        one, two = module(images).pool()
        assert torch.allclose(one, two, atol=1e-6) is not coordinates


def test_a_video_played_backwards_is_another_video():
    video = inputs("video", 1)
    for options in ({}, {"coordinates": True}):
        torch.manual_seed(0)
        module = build_part("encoders", "conv3d", options, dim=D).eval()
        assert not torch.allclose(module(video).pool(), module(video.flip(1)).pool(), atol=1e-4)


def test_a_sounds_tokens_are_its_frames_and_know_their_order():
    sound = inputs("audio", 1)
    module = build_part("encoders", "audio_transformer", {"frame": 500}, dim=D).eval()
    assert module(sound).tokens.shape == (1, 4, D)
    assert torch.equal(module(sound).tokens, module(torch.cat([sound, sound[:, :99]], 1)).tokens)
    turned = sound.unflatten(1, (4, 500)).flip(1).flatten(1)
    assert not torch.allclose(module(sound).pool(), module(turned).pool(), atol=1e-4)


def test_positions_of_frames_start_as_sines_and_cosines_of_ever_longer_waves():
    positions = encoder("audio_transformer").position.detach()
    places = torch.arange(len(positions))
    for pair, slower in ((0, 1.0), (D // 2 - 1, 1e-4 ** (1 - 2 / D))):
        torch.testing.assert_close(positions[:, 2 * pair], (places * slower).sin())
        torch.testing.assert_close(positions[:, 2 * pair + 1], (places * slower).cos())


def test_a_silent_sound_gives_numbers():
    module = encoder("audio_transformer").eval()
    assert module(torch.zeros(1, 2000, dtype=torch.int16)).tokens.isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("conv", {"channels": []}, "channels must be one or more positive numbers"),
        ("conv3d", {"channels": [8, 0]}, "channels must be one or more positive numbers"),
        ("audio_transformer", {"heads": 3}, "heads must divide the width 16, got 3"),
        ("audio_transformer", {"frame": 0}, "must be at least 1"),
        ("gru", {"layers": 0}, "layers must be at least 1"),
    ],
)
def test_an_option_out_of_range_is_explained(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        build_part("encoders", name, options, dim=D, vocabulary=VOCABULARY)


@pytest.mark.parametrize(
    ("samples", "says"),
    [(1200, "there is one of 1200 samples: raise `longest`"), (199, "lower `frame`")],
)
def test_a_sound_of_too_many_frames_or_none_is_one_line(samples, says):
    module = build_part("encoders", "audio_transformer", {"longest": 5}, dim=D)
    with pytest.raises(MMBenchError, match=says):
        module(torch.zeros(1, samples, dtype=torch.int16))


def test_a_resnet_reads_pictures_in_the_order_that_its_convolutions_are_fast_in():
    resnet = encoder("resnet")
    given_maps = []
    for module in resnet.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(lambda _, given: given_maps.append(given[0]))
    resnet(inputs("image"))
    assert given_maps
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in given_maps)

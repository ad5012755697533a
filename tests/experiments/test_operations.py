"""Operations against counts by hand: two for each multiply-add of a product or convolution."""

import pytest
import torch
from torch import nn

from mmbench.data.words import Vocabulary
from mmbench.experiments.operations import operations_of
from mmbench.zoo.decoders.rnn import RNNDecoder
from mmbench.zoo.decoders.transformer import TransformerDecoder
from mmbench.zoo.encoders.audio_transformer import AudioTransformer
from mmbench.zoo.encoders.conv import Conv
from mmbench.zoo.encoders.gru import GRU
from mmbench.zoo.fusion.attention import AttentionFusion
from mmbench.zoo.stream import Stream

B, D = 3, 16
WORDS = Vocabulary([f"word{number}" for number in range(38)])


def count(part, *inputs):
    return operations_of(lambda: part.eval()(*inputs))


def product(rows, inner, columns):
    return 2 * rows * inner * columns


def attention(queries, keys, dim):
    """Scores of every query with every key, and the sums of the values; of all heads together."""
    return product(queries, dim, keys) + product(queries, keys, dim)


def test_a_gru_is_six_products_a_word():
    words = torch.ones(B, 7, dtype=torch.int64)
    assert count(GRU(D, WORDS), words) == B * 7 * 6 * product(1, D, D)


def test_a_recurrent_decoder_counts_its_units_and_its_words():
    words, layers = torch.ones(B, 5, dtype=torch.int64), 2
    decoder = RNNDecoder(D, WORDS, None, layers=layers)
    assert count(decoder, words, []) == B * 5 * (
        layers * 6 * product(1, D, D) + product(1, D, decoder.end + 1)
    )


def test_a_convolution_is_a_product_at_every_place():
    pixels = torch.zeros(B, 3, 16, 16, dtype=torch.uint8)
    part = Conv(D, channels=[8])
    expected, size, channels = 0, 16, 3
    convolutions = [m for m in part.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions
    for layer in convolutions:
        size = (size + 2 * layer.padding[0] - layer.kernel_size[0]) // layer.stride[0] + 1
        inner = channels * layer.kernel_size[0] ** 2
        expected += B * product(size**2, inner, layer.out_channels)
        channels = layer.out_channels
        assert layer.in_channels * layer.kernel_size[0] ** 2 == inner
    tokens = part(pixels).tokens.shape[1]
    expected += sum(
        B * product(tokens, m.in_features, m.out_features)
        for m in part.modules()
        if isinstance(m, nn.Linear)
    )
    assert count(part, pixels) == expected


def test_an_encoders_attention_and_layers_are_counted():
    sounds = torch.zeros(B, 1000, dtype=torch.int16)
    frames, layers = 5, 2
    part = AudioTransformer(D, frame=200, layers=layers, longest=10)
    block = 4 * product(frames, D, D) + attention(frames, frames, D) + 2 * product(frames, D, 2 * D)
    assert count(part, sounds) == B * (product(frames, 101, D) + layers * block)


def test_a_fusion_projects_and_scores_every_modality():
    query = Stream(torch.randn(B, 2, D), torch.ones(B, 2, dtype=torch.bool))
    context = Stream(torch.randn(B, 9, D), torch.ones(B, 9, dtype=torch.bool))  # pooled to one
    each = product(1, D, D) + product(1, D, D) + product(1, D, 1)
    assert count(AttentionFusion(D, contexts=["image"]), query, [context]) == B * (2 + 1) * each


def test_a_transformer_that_writes_counts_its_attention():
    part = TransformerDecoder(D, WORDS, None, layers=1, longest=12)
    few, many = (count(part, torch.ones(B, length, dtype=torch.int64), []) for length in (4, 8))
    each = (few - B * attention(4, 4, D)) / 4
    assert many == B * attention(8, 8, D) + 8 * each
    assert each == B * (12 * product(1, D, D) + product(1, D, part.end + 1))


def test_a_parameter_that_is_handed_to_a_module_is_counted_as_any_tensor():
    learnt, layer = nn.Parameter(torch.randn(2, D)), nn.Linear(D, D)
    assert count(layer, learnt) == product(2, D, D)
    assert count(layer, learnt.expand(B, 2, D)) == product(B * 2, D, D)


@pytest.mark.parametrize("fast", [True, False])
def test_switches_are_as_they_were_afterwards(fast):
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        with pytest.raises(ZeroDivisionError):
            operations_of(lambda: 1 / 0)
        assert torch.backends.mha.get_fastpath_enabled() == fast
        assert torch.backends.cudnn.enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(True)

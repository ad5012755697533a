"""Flamingo: which image each word sees, and what its gates leave of the language model at first."""

import pytest
import torch
from torch import nn

from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.zoo.decoders.flamingo import FlamingoDecoder, PerceiverResampler
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from mmbench.zoo.words import IMAGE_PLACE
from tests.zoo.test_text_decoders import opened

D, IMAGES, TOKENS = 16, 3, 5
VOCABULARY = Vocabulary([IMAGE_PLACE, "dax", "wug", "."])
TEXT = f"{IMAGE_PLACE} dax. {IMAGE_PLACE} wug. {IMAGE_PLACE}"
SEEN = [0, 0, 0, 0, 1, 1, 1, 2]  # which image, after the end that begins a text


def flamingo(contexts=("image",), seed=0, **options):
    torch.manual_seed(seed)
    context = {"dim": D, "vocabulary": VOCABULARY, "longest": 20, "contexts": contexts}
    return build_part("decoders", "flamingo", options, **context).eval()


def images(batch=2, count=IMAGES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Stream(
        torch.randn(batch, count * TOKENS, D, generator=generator),
        torch.ones(batch, count * TOKENS, dtype=torch.bool),
        count,
    )


def words_of(module, *texts):
    numbers, _ = module.read(texts, 19)
    return torch.cat([torch.full((len(texts), 1), module.end), numbers], 1)


def without_attention_between_words(module):
    """So that what a word takes of an image shows at that word alone."""
    with torch.no_grad():
        for block in module.language.blocks:
            block.mix.weight.zero_()
            block.mix.bias.zero_()
    return module


def test_at_first_it_is_the_language_model_alone_in_every_bit():
    module, words = flamingo(), words_of(flamingo(), TEXT, TEXT)
    expected = module.language(words, []).logits
    assert torch.equal(module(words, [images()]).logits, expected)
    state, steps = module.begin(2, words.device, [images()]), []
    for place in range(words.shape[1]):
        decoded, state = module.step(words[:, place], state, [images()])
        steps.append(decoded.logits)
    torch.testing.assert_close(torch.stack(steps, 1), expected)


def test_without_gates_the_images_count_from_the_start():
    module, words = flamingo(gates=False), words_of(flamingo(), TEXT)
    alone = module.language(words, []).logits
    assert not torch.allclose(module(words, [images(1)]).logits, alone)


def test_only_gates_can_learn_at_first_and_then_all_that_joins_the_images():
    module, words = flamingo(), words_of(flamingo(), TEXT)
    learns = {}
    for _ in range(2):
        module.zero_grad()
        module(words, [images(1)]).logits.square().sum().backward()
        learns[len(learns)] = {n for n, p in module.named_parameters() if p.grad.abs().sum() > 0}
        opened(module)
    first = {name for name in learns[0] if not name.startswith("language.")}
    assert first == {n for n, _ in module.named_parameters() if n.endswith("_gate")}
    assert learns[1] == {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize("changed", range(IMAGES))
def test_a_word_sees_the_last_image_before_it_alone(changed):
    module = without_attention_between_words(flamingo())
    opened(module)
    words = words_of(module, TEXT)
    stream = images(1)
    tokens = stream.tokens.clone()
    tokens[:, changed * TOKENS : (changed + 1) * TOKENS] *= -1
    one = module(words, [stream]).logits[0]
    two = module(words, [Stream(tokens, stream.mask, IMAGES)]).logits[0]
    differs = (one != two).any(-1).tolist()
    assert differs == [seen == changed for seen in SEEN]


def test_images_before_reach_a_word_through_the_language_model():
    module = flamingo()
    opened(module)
    words, stream = words_of(module, TEXT), images(1)
    tokens = stream.tokens.clone()
    tokens[:, :TOKENS] *= -1
    one, two = (module(words, [c]).logits for c in (stream, Stream(tokens, stream.mask, IMAGES)))
    assert not torch.allclose(one[0, -1], two[0, -1])


@pytest.mark.parametrize("options", [{}, {"every": 3}, {"gates": False}])
def test_texts_with_fewer_images_in_a_batch_get_what_they_get_alone(options):
    module = flamingo(**options)
    opened(module)
    few = f"{IMAGE_PLACE} dax"
    stream = images(3)
    there = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]]).bool().repeat_interleave(TOKENS, 1)
    tokens = stream.tokens.masked_fill(~there[..., None], float("nan"))
    together = [Stream(tokens, there, IMAGES)]
    words = words_of(module, TEXT, few, few)
    given = module(words, together).logits
    assert given.isfinite().all()
    alone = Stream(stream.tokens[1:2, :TOKENS], torch.ones(1, TOKENS, dtype=torch.bool))
    torch.testing.assert_close(given[1:2, :3], module(words[1:2, :3], [alone]).logits)
    torch.testing.assert_close(given[2:, :3], module.language(words[2:, :3], []).logits)
    state, steps = module.begin(3, words.device, together), []
    for place in range(words.shape[1]):
        decoded, state = module.step(words[:, place], state, together)
        steps.append(decoded.logits)
    torch.testing.assert_close(torch.stack(steps, 1), given)


def test_words_after_more_places_than_images_see_the_last_image():
    module = without_attention_between_words(flamingo())
    opened(module)
    words = words_of(module, TEXT)
    two = images(1, 2)
    more = Stream(torch.cat([two.tokens, two.tokens[:, TOKENS:]], 1), images(1).mask, IMAGES)
    torch.testing.assert_close(module(words, [two]).logits, module(words, [more]).logits)


def test_a_vocabulary_without_the_place_has_none_and_unknown_words_are_no_places():
    torch.manual_seed(0)
    module = FlamingoDecoder(D, Vocabulary(["dax"]), ("image",), longest=20).eval()
    opened(module)
    words = torch.tensor([[module.end, 1, 2, 1]])
    first = Stream(images(1).tokens[:, :TOKENS], images(1).mask[:, :TOKENS])
    torch.testing.assert_close(module(words, [images(1)]).logits, module(words, [first]).logits)


def test_the_resampler_makes_as_few_tokens_of_any_image():
    torch.manual_seed(0)
    resampler = PerceiverResampler(D, layers=2, heads=2, latents=3)
    for count in (1, 2):
        assert resampler(images(2, count)).shape == (2, 3, D)
    masked = images().mask.clone()
    masked[:, TOKENS:] = False
    short = Stream(images().tokens[:, :TOKENS], masked[:, :TOKENS])
    torch.testing.assert_close(resampler(Stream(images().tokens, masked)), resampler(short))


def test_a_gated_layer_stands_before_every_second_layer():
    counts = [len(flamingo(layers=layers, every=2).gated) for layers in (1, 2, 3, 4)]
    assert counts == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("options", "contexts", "says"),
    [
        ({"every": 0}, ("image",), "every must be at least 1"),
        ({"latents": 0}, ("image",), "latents must be at least 1"),
        ({"resampler_layers": 0}, ("image",), "layers must be at least 1"),
        ({}, ("image", "audio"), "sees one medium, and here there are image and audio"),
    ],
)
def test_what_cannot_be_is_refused(options, contexts, says):
    with pytest.raises(MMBenchError, match=says):
        flamingo(contexts, **options)


def test_without_media_it_is_a_language_model():
    module = flamingo(())
    assert {name for name, _ in module.named_children()} == {"language"}
    assert isinstance(module.language, nn.Module)
    words = words_of(module, TEXT)
    torch.testing.assert_close(module(words, []).logits, module.language(words, []).logits)

"""DALL-E's one stream of words and codes: who sees what, and what is learnt of it."""

import pytest
import torch
from torch.nn import functional

from mmbench.zoo.decoders.dalle import DALLE
from mmbench.zoo.decoders.image import Sampling
from mmbench.zoo.stream import Stream
from tests.zoo.test_image_decoders import SMALL, WORDS, D, images

B, L = 3, 5


@pytest.fixture
def made():
    torch.manual_seed(0)
    decoder = DALLE(D, WORDS, SMALL, size=16, layers=2)
    decoder.autoencoder.train()
    for seed in range(3):
        decoder.autoencoder.loss(images(8, seed))  # the codebooks start from data
    for parameter in (decoder.rows, decoder.columns, decoder.text_positions):
        torch.nn.init.normal_(parameter)
    return decoder.eval()


@pytest.fixture
def found(made):
    return made.autoencoder.encode(images(B))


def prompts(lengths=(5, 3, 5), seed=1):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(L) < torch.tensor(lengths)[:, None]
    return Stream(torch.randn(B, L, D, generator=generator), mask)


def states(made, found, text):
    """Of the text's beginning and words (B, 1 + L, D), and of the image's places."""
    z = made._text(B, [text])
    image = made._placed(made.places_before(made.begin_image, found))
    there = torch.cat([z.mask, z.mask.new_ones(image.shape[:2])], 1)
    whole, _ = made._transform(torch.cat([z.clean(), image], 1), there)
    return whole.split([1 + L, image.shape[1]], 1)


def test_a_word_sees_no_later_word_and_nothing_of_the_image(made, found):
    text = prompts((5, 5, 5))
    before, _ = states(made, found, text)
    changed = text.tokens.clone()
    changed[:, 3] = changed[:, 3].flip(-1)
    words, _ = states(made, found.flip(0), Stream(changed, text.mask))
    torch.testing.assert_close(words[:, :4], before[:, :4])  # the beginning and three words
    assert not torch.allclose(words[:, 4:], before[:, 4:])


def test_a_place_of_the_image_sees_all_words_and_no_later_code(made, found):
    text = prompts((5, 5, 5))
    _, before = states(made, found, text)
    later = found.clone()
    later[:, -1] = (later[:, -1] + 1) % 8  # in the last square, which no place sees
    _, same = states(made, later, text)
    torch.testing.assert_close(same, before)
    other = found.clone()
    other[:, 0] = (other[:, 0] + 1) % 32  # the ground: all places but its own see it
    _, after = states(made, other, text)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert (after[:, 1:] - before[:, 1:]).abs().amax((0, 2)).min() > 1e-4
    for word in range(L):
        tokens = text.tokens.clone()
        tokens[:, word] = tokens[:, word].flip(-1)
        _, after = states(made, found, Stream(tokens, text.mask))
        assert (after - before).abs().amax((0, 2)).min() > 1e-4


def test_places_are_told_apart_by_row_and_by_column(made):
    positions = made._positions()
    assert len(positions) == 1 + made.squares
    assert torch.equal(positions[0], torch.zeros(D))
    for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)], start=2):
        assert torch.equal(positions[place], made.rows[row] + made.columns[column])


def test_step_by_step_it_sees_what_it_saw_in_training(made, found):
    text = prompts()
    _, expected = states(made, found, text)
    inputs, state = made.begin(B, [text])
    ground, squares = made.parted(found)
    for place in range(1 + made.squares):
        given, state = made.step(inputs, place, state, [text])
        torch.testing.assert_close(given[:, 0], expected[:, place])
        writer, codes = (made.patches, squares[:, place - 1]) if place else (made.ground, ground)
        inputs = writer.read(codes)[:, None]


def test_what_follows_a_shorter_prompt_changes_nothing(made, found):
    text = prompts((3, 2, 4))
    spoilt = text.tokens.masked_fill(~text.mask[..., None], float("nan"))
    longer = Stream(spoilt, text.mask)
    cut = Stream(text.tokens[:, :4], text.mask[:, :4])
    torch.testing.assert_close(made.loss(found, [longer])[0], made.loss(found, [cut])[0])


def test_words_count_an_eighth_of_the_loss_and_codes_seven(made, found):
    """App. B.1, in float64, against a sum over words and codes one by one."""
    made, text = made.double(), prompts()
    text = Stream(text.tokens.double(), text.mask)
    words = torch.randint(2, 10, (B, L), generator=torch.Generator().manual_seed(0))
    of_text, of_image = states(made, found, text)
    log_chances = functional.log_softmax(made.word_head(of_text), -1)
    due = []
    for row, length in enumerate(text.mask.sum(1).tolist()):
        for place in range(length):
            due.append(log_chances[row, place, words[row, place]])
        due.append(log_chances[row, length, made.end])
    expected = -torch.stack(due).mean() / 8 + 7 / 8 * made.code_loss(of_image, found)
    torch.testing.assert_close(
        made.loss(found, [text], words)[0].float(), expected.float(), rtol=1e-5, atol=1e-6
    )


def test_a_prompt_that_is_left_out_is_not_predicted(made, found):
    text = prompts((5, 5, 5))
    words = torch.full((B, L), 3)
    missing = Stream(text.tokens, torch.zeros_like(text.mask))
    of_image = made.loss(found, [missing])[0]
    torch.testing.assert_close(made.loss(found, [missing], words)[0], of_image)


def test_a_prompt_of_more_words_than_it_reads_is_cut(made, found):
    made.text_positions = torch.nn.Parameter(made.text_positions[:3])
    text = prompts((5, 5, 5))
    cut = Stream(text.tokens[:, :3], text.mask[:, :3])
    words = torch.randint(2, 10, (B, L))
    torch.testing.assert_close(
        made.loss(found, [text], words)[0], made.loss(found, [cut], words[:, :3])[0]
    )
    assert made.draw([text], [1, 2, 3], Sampling(guidance=1.0)).shape == found.shape

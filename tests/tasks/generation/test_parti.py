"""The recipe `parti`: an encoder that reads both ways, and a decoder that looks at all of it."""

import pytest
import torch

from mmbench.recipe import load_recipe
from mmbench.zoo.decoders.image_tokens import ImageTokens
from mmbench.zoo.fusion.cross_attention import CrossAttentionFusion
from mmbench_tasks.generation.task import Generation
from tests.tasks.generation.test_generation import TINY, pictures, run

WORDS = ["a", "red", "circle", "left", "of", "a", "blue", "star"]
SMALL = {key: value for key, value in TINY.items() if key != "decoder"} | {
    "decoder.layers": 2,
    "decoder.autoencoder": TINY["decoder"]["autoencoder"],
    "encoders.text.layers": 1,
}


@pytest.fixture
def made(few):
    task = Generation()
    resolved = task.resolve(load_recipe("parti", SMALL), task.dataset(few))
    torch.manual_seed(0)
    model = task.build(resolved, {"words": sorted(set(WORDS))})
    images = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)
    model.decoder.autoencoder.train().loss(images)
    return model.eval()


def streams(model, texts):
    batch = model.read("text", texts)
    return model.stream("text", batch)


def test_its_encoder_reads_in_both_directions(made):
    one, other = streams(made, [" ".join(WORDS), " ".join([*WORDS[:-1], "circle"])]).tokens
    assert (one - other).abs().amax(-1).min() > 1e-5  # the last word changes the first token


def test_every_block_of_its_decoder_attends_to_the_encoders_tokens(made):
    assert isinstance(made.decoder, ImageTokens)
    for block in made.decoder.blocks:
        assert isinstance(block.fused.fusion, CrossAttentionFusion)
        assert len(block.fused.fusion.layers) == 1
    found = made.decoder.autoencoder.encode(
        torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    )
    stream = streams(made, [" ".join(WORDS)])
    for word in range(len(WORDS)):
        changed = stream.tokens.clone()
        changed[:, word] = changed[:, word].flip(-1)
        losses = [
            made.decoder.loss(found, [type(stream)(tokens, stream.mask)])[0]
            for tokens in (stream.tokens, changed)
        ]
        assert losses[0] != losses[1]


def test_a_tenth_of_its_prompts_is_left_out_and_guidance_is_on(made):
    assert made.decoder.unprompted == 0.1
    assert made._sampling.guidance > 1
    context = streams(made, [" ".join(WORDS)]).take(torch.zeros(5000, dtype=torch.long))
    torch.manual_seed(0)
    (kept,) = made.decoder.train().dropped([context], 5000)
    assert kept.present.float().mean().item() == pytest.approx(0.9, abs=0.015)


def test_it_trains_and_draws(few, tmp_path):
    result = run(few, tmp_path, "parti", overrides=SMALL)
    assert len({picture.tobytes() for picture in pictures(result)}) == 24
    assert set(result.record.parameters) == {"encoders.text", "decoder"}

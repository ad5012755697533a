"""What every image decoder must keep: see `mmbench.zoo.decoders.image.ImageDecoder`."""

import pytest
import torch

from mmbench import registry
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.zoo.decoders.autoencoder import Autoencoder, AutoencoderSettings, Quantiser
from mmbench.zoo.decoders.codes import draw_code
from mmbench.zoo.decoders.image import ImageDecoder, Sampling, guided
from mmbench.zoo.decoders.transformer import run_stack
from mmbench.zoo.fusion.gated import GatedFusion
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.zoo.test_fusion_contract import CAUSAL

D = 16
WORDS = Vocabulary(list("abcdefgh"))
SMALL = AutoencoderSettings(grid=4, width=16, latent=4, codes=2, codebook=8)
IMAGE_DECODERS = [
    name
    for name in registry.names("decoders")
    if issubclass(registry.load("decoders", name), ImageDecoder)
]
every = pytest.mark.parametrize("name", IMAGE_DECODERS)


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)


def decoder(name, fusion="gated", **options):
    torch.manual_seed(0)
    options = {"size": 16, "layers": 2} | options
    made = build_part(
        "decoders",
        name,
        options,
        dim=D,
        fusion=lambda: build_part("fusions", fusion, {}, dim=D, contexts=("text",)),
        autoencoder=SMALL,
        vocabulary=WORDS,
    )
    made.autoencoder.train()
    for seed in range(3):
        made.autoencoder.loss(images(8, seed))  # the codebooks start from data
    return made.eval()


def prompts(batch, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return Stream(torch.randn(batch, 5, D, generator=generator), torch.ones(batch, 5).bool())


def numbers(made, batch):
    """Of the prompts' words, for a decoder that predicts them."""
    return {"words": torch.randint(2, 10, (batch, 5))} if made.predicts_words else {}


def test_all_are_there():
    assert IMAGE_DECODERS == ["cnn", "dalle", "flow", "image_tokens"]


@every
def test_an_image_is_drawn_of_its_own_seed_and_prompt_alone(name):
    made, context = decoder(name), prompts(4)
    together = made.draw([context], [1, 2, 3, 4], Sampling(steps=3))
    alone = made.draw([context.take(torch.tensor([2]))], [3], Sampling(steps=3))
    torch.testing.assert_close(together[2:3], alone)
    pixels = made.autoencoder.decode(together)
    assert pixels.shape == (4, 3, 16, 16)
    assert pixels.dtype == torch.uint8


@every
def test_it_samples_and_does_not_regress_to_a_mean(name):
    made = decoder(name)
    same = prompts(1).take(torch.zeros(6, dtype=torch.long))
    drawn = made.autoencoder.decode(made.draw([same], range(6), Sampling(steps=3)))
    assert len({image.numpy().tobytes() for image in drawn}) > 1


@every
def test_another_prompt_gives_another_image_only_if_it_is_followed(name):
    made = decoder(name)
    one, other = prompts(3, seed=1), prompts(3, seed=2)
    for guidance, differs in ((3.0, True), (1.0, True), (0.0, False)):
        sampling = Sampling(guidance=guidance, steps=3)
        drawn = [made.draw([context], [1, 2, 3], sampling).float() for context in (one, other)]
        assert torch.allclose(*drawn) is not differs


@every
def test_a_missing_prompt_gives_an_image_as_no_guidance_does(name):
    made, context = decoder(name), prompts(2)
    missing = Stream(context.tokens, torch.zeros_like(context.mask))
    unprompted = made.draw([missing], [1, 2], Sampling(guidance=1.0, steps=3))
    torch.testing.assert_close(
        unprompted, made.draw([context], [1, 2], Sampling(guidance=0.0, steps=3))
    )
    torch.testing.assert_close(
        unprompted, made.draw([None], [1, 2], Sampling(guidance=1.0, steps=3))
    )


@every
def test_its_second_part_gets_a_gradient_everywhere_and_its_autoencoder_none(name):
    made = decoder(name).train()
    made.unprompted = 0.0
    with torch.no_grad():
        found = made.autoencoder.encode(images(4))
    made.loss(found, [prompts(4)], **numbers(made, 4))[0].backward()
    for key, parameter in made.named_parameters():
        if key.startswith("autoencoder."):
            assert parameter.grad is None, key
        else:
            assert parameter.grad is not None, key
            assert parameter.grad.abs().sum() > 0, key


@every
def test_its_autoencoder_is_the_same_at_first_whatever_the_seed(name):
    def fresh(seed):
        torch.manual_seed(seed)
        fusion = lambda: GatedFusion(D, ["text"])  # noqa: E731
        given = {"dim": D, "fusion": fusion, "autoencoder": SMALL, "vocabulary": WORDS}
        return build_part("decoders", name, {"size": 16}, **given).state_dict()

    one, other = fresh(1), fresh(2)
    same = {key for key in one if torch.equal(one[key], other[key])}
    assert {key for key in one if key.startswith("autoencoder.")} <= same
    assert same != set(one)


@every
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 18}, "grid must divide the image size 18"),
        ({"square": 3}, "square must divide the autoencoder's grid 4, got 3"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"unprompted": 1.0}, "unprompted must be at least 0 and below 1"),
    ],
)
def test_sizes_that_do_not_fit_are_named(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        decoder(name, **options)


@every
def test_squares_are_neighbouring_patches(name):
    made = decoder(name)
    patches = torch.arange(16).view(1, 16, 1)
    squares = made.by_square(patches)
    assert squares[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert torch.equal(made.by_patch(squares), patches)


@pytest.mark.parametrize("fusion", CAUSAL)
@pytest.mark.parametrize("fusion_at", ["last", "every"])
def test_the_likeliest_codes_drawn_step_by_step_are_those_that_training_sees(fusion, fusion_at):
    made, context = decoder("image_tokens", fusion, fusion_at=fusion_at), prompts(3)
    drawn = made.draw([context], [1, 2, 3], Sampling(guidance=1.0, temperature=0.0))
    ground, squares = made.parted(drawn)
    before = [
        made.start.expand(3, 1, -1),
        made.ground.read(ground)[:, None],
        made.patches.read(squares[:, :-1]),
    ]
    inputs = torch.cat(before, 1) + made.positions
    states, _ = run_stack((made.blocks, made.fused), inputs, [context])
    for writer, state, codes in (
        (made.ground, states[:, 0], ground),
        (made.patches, states[:, 1:], squares),
    ):
        for number, (head, embed) in enumerate(zip(writer.heads, writer.vectors, strict=True)):
            assert torch.equal(head(state).argmax(-1), codes[..., number])
            state = state + embed(codes[..., number])


def test_the_loss_of_image_tokens_is_the_mean_of_minus_the_log_probabilities():
    made, context = decoder("image_tokens"), prompts(2)
    found = made.autoencoder.encode(images(2))
    one_by_one = [
        made.loss(found[row : row + 1], [context.take(torch.tensor([row]))])[0] for row in range(2)
    ]
    torch.testing.assert_close(made.loss(found, [context])[0], torch.stack(one_by_one).mean())


def test_codes_are_drawn_as_often_as_they_are_likely_and_only_among_the_top_k():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(10_000, 3)
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    counts = torch.bincount(draw_code(logits, uniform, Sampling()))
    assert counts.tolist() == [5000, 3000, 2000]
    assert draw_code(logits, uniform, Sampling(top_k=2)).unique().tolist() == [0, 1]
    assert draw_code(logits, uniform, Sampling(temperature=0.0)).unique().tolist() == [0]
    hot = torch.bincount(draw_code(logits, uniform, Sampling(temperature=100.0)))
    assert (hot - 3333).abs().max() < 40


def test_guidance_goes_from_the_unprompted_prediction_beyond_the_prompted_one():
    both = torch.tensor([[3.0], [1.0]])
    assert [guided(both, g).item() for g in (0.0, 1.0, 2.0)] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize("name", ["cnn", "dalle", "image_tokens"])
@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
def test_codes_are_drawn_from_logits_guided_as_the_equation_says(name, guidance):
    """u + g (p - u), of logits p of the prompt and u without one, worked out apart."""
    made, context = decoder(name), prompts(5)
    missing = Stream(context.tokens, torch.zeros_like(context.mask))
    logits = []
    for given in (context, missing):
        inputs, state = made.begin(5, [given])
        states, _ = made.step(inputs, 0, state, [given])
        logits.append(made.ground.heads[0](states[:, 0]))
    prompted, unprompted = logits
    expected = (unprompted + guidance * (prompted - unprompted)).argmax(-1)
    drawn = made.draw([context], range(5), Sampling(guidance=guidance, temperature=0.0))
    assert torch.equal(drawn[:, 0], expected)


def test_a_quantiser_takes_the_nearest_entry_of_what_is_left_over():
    torch.manual_seed(0)
    quantiser = Quantiser(2, 8, 3)
    latents = torch.randn(200, 3)
    quantiser.train()(latents)
    quantiser.eval()
    before = quantiser.books.clone()
    codes, distance = quantiser(latents)
    assert torch.equal(quantiser.books, before)  # nothing moves in evaluation
    first = torch.cdist(latents, before[0]).argmin(1)
    rest = latents - before[0][first]
    second = torch.cdist(rest, before[1]).argmin(1)
    assert torch.equal(codes, torch.stack([first, second], 1))
    near = quantiser.lookup(codes)
    torch.testing.assert_close(near, before[0][first] + before[1][second])
    expected = ((latents - before[0][first]).square().mean() + (latents - near).square().mean()) / 2
    torch.testing.assert_close(distance, expected)


def test_a_quantisers_unused_entries_go_where_nothing_is_near():
    torch.manual_seed(0)
    centres = 5 * torch.randn(8, 4)
    quantiser = Quantiser(1, 32, 4).train()
    quantiser.books[0] = 100.0  # entries that nothing is near to
    quantiser.started.fill_(True)
    for _ in range(60):
        latents = centres[torch.randint(8, (512,))] + 0.01 * torch.randn(512, 4)
        codes, distance = quantiser(latents)
    assert len(codes.unique()) > 8
    assert distance < 0.01


def test_a_plain_background_is_one_code_whatever_its_shade_and_noise():
    torch.manual_seed(0)
    model = Autoencoder(16, SMALL, quantised=True)
    model.train().loss(images(8))
    model.eval()
    shades = torch.randint(20, 230, (5, 3, 1, 1)) + torch.randint(-3, 4, (5, 3, 16, 16))
    codes = model.encode(shades.to(torch.uint8))
    assert len(codes[:, 3:].unique(dim=0)) == 1
    assert (codes[:, :3] * 8 + 4 - shades.float().mean((2, 3))).abs().max() < 8
    middle = torch.full_like(codes[:, :3], 15)
    lighter = torch.cat([middle + 2, codes[:, 3:]], 1)
    shown = [model.decode(torch.cat([middle, codes[:, 3:]], 1)), model.decode(lighter)]
    assert (shown[1].float() - shown[0].float()).median() == 16  # the ground is added


@pytest.mark.parametrize("quantised", [True, False])
def test_an_autoencoder_learns_to_give_back_what_it_is_given(quantised):
    torch.manual_seed(0)
    settings = AutoencoderSettings(grid=4, width=16, latent=8, codebook=16)
    model = Autoencoder(16, settings, quantised)
    block = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    for number, (row, column) in enumerate([(0, 0), (0, 8), (8, 0), (8, 8)]):
        block[number, :, row : row + 8, column : column + 8] = 200
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    first = None
    for _ in range(150):
        loss = model.loss(block.repeat(8, 1, 1, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first = first or loss.item()
    model.eval()
    error = (model.decode(model.encode(block)).float() - block.float()).abs().mean()
    assert loss.item() < first / 10
    assert error < 15


def test_a_fusion_that_is_not_causal_stands_where_all_is_drawn_at_once_alone():
    class SeesAll(GatedFusion):
        causal = False

    made = {"dim": D, "fusion": lambda: SeesAll(D, ["text"]), "autoencoder": SMALL}
    options = {"size": 16, "layers": 1}
    build_part("decoders", "flow", options, **made)
    with pytest.raises(MMBenchError, match="image_tokens: .*SeesAll cannot be causal"):
        build_part("decoders", "image_tokens", options, **made)

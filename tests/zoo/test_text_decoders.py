"""What every text decoder must keep: see `mmbench.zoo.decoders.text.TextDecoder`."""

import pytest
import torch
from torch import nn

from mmbench import registry
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.zoo.decoders.search import Search, draw, write
from mmbench.zoo.decoders.text import TextDecoder
from mmbench.zoo.fusion.base import Fused, Fusion
from mmbench.zoo.fusion.gated_cross_attention import GatedLayer
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.training.test_waiting import Reads
from tests.zoo.test_fusion_contract import CAUSAL

B, L, D = 3, 6, 16
VOCABULARY = Vocabulary([f"word{n}" for n in range(9)])
END = len(VOCABULARY)
V = END + 1
DECODERS = {name: registry.load("decoders", name) for name in registry.names("decoders")}
TYPES = {name: kind for name, kind in DECODERS.items() if issubclass(kind, TextDecoder)}
NAMES = list(TYPES)
every = pytest.mark.parametrize("name", NAMES)
VARIANTS = [
    *((name, {"fusion_at": at}) for name in ("rnn", "transformer") for at in ("last", "every")),
    ("rnn", {"attention": True}),
    ("gpt2", {}),
    ("flamingo", {}),
    ("flamingo", {"every": 3, "gates": False, "resampler_layers": 2}),
]
everywhere = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
# Those whose states the recipe's fusion joins.
IN_STATES = [case for case in VARIANTS if case[0] not in ("gpt2", "flamingo")]
in_states = pytest.mark.parametrize(("name", "options"), IN_STATES, ids=str)


def decoder(name, fusion="gated", seed=0, **options):
    torch.manual_seed(seed)
    made = (
        (lambda: build_part("fusions", fusion, {}, dim=D, contexts=("image",))) if fusion else None
    )
    context = {"dim": D, "vocabulary": VOCABULARY, "longest": 20}
    contexts = ("image",) if fusion else ()
    module = build_part("decoders", name, options, **context, fusion=made, contexts=contexts)
    opened(module)
    return module.eval()


def opened(module):
    """With gates that let the context in, as after training."""
    for layer in module.modules():
        if isinstance(layer, GatedLayer):
            nn.init.constant_(layer.attention_gate, 1.0)
            nn.init.constant_(layer.feed_forward_gate, 1.0)


def random_words(batch=B, length=L, seed=1):
    return torch.randint(1, V, (batch, length), generator=torch.Generator().manual_seed(seed))


def context(batch=B, seed=2):
    tokens = torch.randn(batch, 5, D, generator=torch.Generator().manual_seed(seed))
    return Stream(tokens, torch.ones(batch, 5, dtype=torch.bool))


def sharpened(module, by=6.0):
    """With larger word vectors the logits are far apart, as after training."""
    with torch.no_grad():
        if hasattr(module, "network"):  # whose word vectors begin smaller
            module.network.wte.weight *= by * D**-0.5 / 0.02
        else:
            language = module.language if hasattr(module, "language") else module
            language.words.weight *= by
    return module


def lively(module, by, seed=0):
    """With noise on all weights, texts of many lengths are written, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (p for p in module.parameters() if p.ndim > 1):
            weight += by * weight.std() * torch.randn(weight.shape, generator=generator)
        language = module.language if hasattr(module, "language") else module
        norm = module.network.ln_f if hasattr(module, "network") else language.norm
        norm.weight.copy_(1.5 * torch.randn(D, generator=generator))
    return module


def written(module, contexts, batch=B, longest=9, seeds=None, **search):
    seeds = range(batch) if seeds is None else seeds
    with torch.inference_mode():
        return write(
            module,
            contexts,
            batch,
            longest=longest,
            search=Search(**search),
            seeds=seeds,
        )


def log_probability(module, contexts, texts, longest=9):
    """Of each text, the end included (a text of the longest length ends by itself)."""
    totals = []
    for row, text in enumerate(texts):
        own = [c.take(torch.tensor([row])) for c in contexts]
        logits = module(torch.tensor([[END, *text]]), own).logits[0].detach()
        logits[:, [0, 1]] = -torch.inf
        chances = logits.log_softmax(-1)
        following = [*text, END] if len(text) < longest else text
        totals.append(sum(float(chances[place, word]) for place, word in enumerate(following)))
    return totals


def test_the_registry_has_the_text_decoders_that_are_tried_here():
    assert {name for name, _ in VARIANTS} <= set(NAMES)


@everywhere
def test_it_gives_logits_of_every_word_at_every_position(name, options):
    logits = decoder(name, **options)(random_words(), [context()]).logits
    assert logits.shape == (B, L, V)
    assert logits.isfinite().all()


@everywhere
def test_a_later_word_changes_no_earlier_logits(name, options):
    module = decoder(name, **options)
    words = random_words()
    changed = words.clone()
    changed[:, 3:] = changed[:, 3:] % (V - 1) + 1
    one, two = (module(given, [context()]).logits for given in (words, changed))
    torch.testing.assert_close(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


@everywhere
@pytest.mark.parametrize("fusion", CAUSAL)
def test_word_by_word_it_gives_what_it_gives_at_once(name, options, fusion):
    module = decoder(name, fusion, **options)
    words, contexts = random_words(), [context()]
    state = module.begin(B, words.device, contexts)
    steps = []
    for place in range(L):
        decoded, state = module.step(words[:, place], state, contexts)
        steps.append(decoded.logits)
    torch.testing.assert_close(torch.stack(steps, 1), module(words, contexts).logits)


@everywhere
@pytest.mark.parametrize("fusion", ["gated", "merged_attention"])
def test_the_state_has_a_row_per_sample_so_that_beams_can_be_reordered(name, options, fusion):
    module = decoder(name, fusion, **options)
    words, contexts = random_words(), [context()]
    _, state = module.step(words[:, 0], module.begin(B, words.device, contexts), contexts)
    order = torch.tensor([2, 0, 1])
    picked = [part.index_select(0, order) for part in state]
    decoded, _ = module.step(words[:, 1], state, contexts)
    reordered, _ = module.step(words[order, 1], picked, [c.take(order) for c in contexts])
    torch.testing.assert_close(reordered.logits, decoded.logits[order])


def test_attention_looks_at_the_tokens_that_a_pooled_fusion_knows_by_their_mean_alone():
    context_one = context()
    swapped = context_one.tokens.clone()
    swapped[:, 0] += 3.0
    swapped[:, 1] -= 3.0
    other = Stream(swapped, context_one.mask)
    for attention in (False, True):
        module = decoder("rnn", attention=attention)
        assert module.reads_tokens is attention
        one, two = (module(random_words(), [c]).logits for c in (context_one, other))
        assert torch.allclose(one, two, atol=1e-5) is not attention


def test_attention_reads_no_masked_token():
    module, mask = decoder("rnn", attention=True), context().mask.clone()
    mask[:, 3:] = False
    broken = context().tokens.clone()
    broken[:, 3:] = float("nan")
    one, two = (
        module(random_words(), [Stream(x, mask)]).logits for x in (context().tokens, broken)
    )
    torch.testing.assert_close(one, two)


def test_the_prefix_of_gpt2_may_be_made_by_a_fusion_that_is_not_causal():
    module = build_part(
        "decoders",
        "gpt2",
        {"prefix": 3},
        dim=D,
        vocabulary=VOCABULARY,
        fusion=lambda: SeesAll(D, ["image"]),
    )
    Noted.calls = 0
    decoded = module(random_words(), [context()])
    assert decoded.logits.shape == (B, L, V)
    assert decoded.losses["calls"].item() == 1
    assert decoded.shares.shape == (B, 3, 2)


@everywhere
def test_every_parameter_gets_a_gradient(name, options):
    module = decoder(name, **options).train()
    logits = module(random_words(), [context()]).logits
    (logits * torch.randn_like(logits)).sum().backward()
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@everywhere
def test_the_context_matters_from_the_first_word_on(name, options):
    module = decoder(name, **options)
    one, two = (module(random_words(), [context(seed=s)]).logits for s in (2, 3))
    assert all(not torch.allclose(one[:, place], two[:, place]) for place in range(L))


@every
def test_a_missing_context_gives_numbers_and_no_fusion_a_language_model(name):
    for module, contexts in ((decoder(name), [None]), (decoder(name, fusion=None), [])):
        assert module(random_words(), contexts).logits.isfinite().all()


@everywhere
def test_the_saved_state_is_complete(name, options):
    one, other = (decoder(name, seed=s, **options) for s in (0, 1))
    words, contexts = random_words(), [context()]
    assert not torch.allclose(one(words, contexts).logits, other(words, contexts).logits)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(words, contexts).logits, other(words, contexts).logits)


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_fusion_in_every_layer_has_a_fusion_a_layer(name):
    counts = {
        at: sum(type(m).__name__ == "GatedFusion" for m in decoder(name, fusion_at=at).modules())
        for at in ("last", "every")
    }
    assert counts == {"last": 1, "every": 2}  # of two layers


@every
@pytest.mark.parametrize("kind", ["greedy", "beam", "nucleus"])
def test_no_text_has_a_forbidden_word_or_more_words_than_the_longest(name, kind):
    module, contexts = decoder(name), [context(8)]
    for longest in (1, 4):
        texts = written(module, contexts, 8, longest, kind=kind)
        assert len(texts) == 8
        assert all(len(text) <= longest for text in texts)
        assert all(word in range(2, END) for text in texts for word in text)


@everywhere
def test_greedy_takes_the_likeliest_word_each_time(name, options):
    module, contexts = sharpened(decoder(name, **options)), [context()]
    for row, text in enumerate(written(module, contexts)):
        own = [c.take(torch.tensor([row])) for c in contexts]
        logits = module(torch.tensor([[END, *text]]), own).logits[0]
        logits[:, [0, 1]] = -torch.inf
        expected = [*text, END] if len(text) < 9 else text
        assert logits.argmax(-1).tolist()[: len(expected)] == expected


@everywhere
def test_beam_search_of_one_beam_is_greedy_search(name, options):
    lengths = set()
    contexts = [context(8)]
    for seed in range(9):
        module = lively(decoder(name, seed=seed, **options), by=seed % 3 + 1, seed=seed)
        greedy = written(module, contexts, 8)
        search = {"kind": "beam", "beams": 1, "length_penalty": seed % 2}
        assert written(module, contexts, 8, **search) == greedy
        lengths |= {len(text) for text in greedy}
    assert len(lengths) >= 3  # some ended by themselves


@every
def test_beam_search_scores_no_lower_than_greedy_search(name):
    longest = 5
    better = 0
    for seed in range(6):
        # GPT-2 with sharp words alone says the last one again, which no search improves.
        change = lively if name == "gpt2" else sharpened
        module, contexts = change(decoder(name, seed=seed), 2.0), [context(8, seed)]
        scores = [
            log_probability(module, contexts, written(module, contexts, 8, longest, **search), 99)
            for search in ({}, {"kind": "beam", "beams": V**2, "length_penalty": 0.0})
        ]
        for greedy, beam in zip(*scores, strict=True):
            assert beam >= greedy - 1e-4
            better += beam > greedy + 1e-4
    assert better > 10  # so that the two searches are known to differ


@every
def test_a_wide_beam_finds_the_likeliest_text_of_all(name):
    """Against every text of at most two words, scored one by one."""
    module, contexts = sharpened(decoder(name), 2.0), [context(2)]
    known = range(2, END)
    texts = [[], *([a] for a in known), *([a, b] for a in known for b in known)]
    for penalty in (0.0, 1.0):
        found = written(
            module, contexts, 2, 2, kind="beam", beams=len(texts), length_penalty=penalty
        )
        for row in range(2):
            own = [c.take(torch.tensor([row])) for c in contexts]
            totals = [
                log_probability(module, own, [text], 99)[0] / (len(text) + 1) ** penalty
                for text in texts
            ]
            assert found[row] == texts[max(range(len(texts)), key=totals.__getitem__)]


@every
@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_a_search_reads_from_the_device_once_a_step(name, kind, monkeypatch):
    steps = []
    step = TYPES[name].step
    monkeypatch.setattr(TYPES[name], "step", lambda *args: steps.append(1) or step(*args))
    with Reads() as reads:
        for seed in range(6):
            written(lively(decoder(name), 1.0, seed), [context()], kind=kind)
    assert len(steps) >= 6
    numbers = [name for name in reads.found if name != "lift_fresh"]  # transformers makes masks
    assert len(numbers) <= len(steps)


@every
@pytest.mark.parametrize("kind", ["greedy", "beam", "nucleus"])
def test_what_is_written_does_not_depend_on_the_batch(name, kind):
    module, contexts = sharpened(decoder(name), 2.0), [context(6)]
    together = written(module, contexts, 6, kind=kind)
    for row in range(6):
        own = [c.take(torch.tensor([row])) for c in contexts]
        assert written(module, own, 1, kind=kind, seeds=[row]) == [together[row]]


@every
def test_nucleus_sampling_repeats_by_seed_and_differs_between_seeds(name):
    module, contexts = decoder(name), [context(8)]
    one, again = (written(module, contexts, 8, kind="nucleus") for _ in range(2))
    other = written(module, contexts, 8, kind="nucleus", seeds=range(8, 16))
    assert one == again
    assert one != other


@every
def test_a_nucleus_of_the_likeliest_word_alone_is_greedy_search(name):
    module, contexts = sharpened(decoder(name)), [context(8)]
    drawn = written(module, contexts, 8, kind="nucleus", top_p=1e-6)
    assert drawn == written(module, contexts, 8)
    cold = written(module, contexts, 8, kind="nucleus", top_p=1.0, temperature=1e-4)
    assert cold == written(module, contexts, 8)


def test_words_are_drawn_as_often_as_the_nucleus_says():
    """0.5, 0.3, 0.15, 0.05: the nucleus of 0.7 holds the first two, as 5 to 3."""
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log().expand(8000, 4)
    uniform = (torch.arange(8000) + 0.5) / 8000
    counts = torch.bincount(draw(logits, uniform, Search(top_p=0.7)), minlength=4)
    assert counts.tolist() == [0, 5000, 0, 3000]


@every
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": 0}, "layers must be at least 1"),
        ({"layer": 2}, "has no option 'layer'. Did you mean layers"),
    ],
)
def test_an_option_out_of_range_is_explained(name, options, says):
    with pytest.raises(MMBenchError, match=says):
        decoder(name, **options)


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_a_fusion_stands_in_the_last_layer_or_in_every_one(name):
    with pytest.raises(MMBenchError, match="fusion_at must be 'last' or 'every'"):
        decoder(name, fusion_at="first")


def test_a_transformer_says_when_a_text_is_too_long_for_it():
    with pytest.raises(ValueError, match="raise `longest`"):
        decoder("transformer")(random_words(length=21), [context()])
    with pytest.raises(MMBenchError, match="heads must divide the width 16, got 3"):
        decoder("transformer", heads=3)


class Noted(Fusion):
    """Adds the context's mean; its loss is how often it was called, its shares are even."""

    query_form = "pooled"
    context_form = "pooled"
    causal = True
    auxiliary = ("calls",)
    calls = 0

    def forward(self, query, contexts, *, causal=False):
        Noted.calls += 1
        tokens = query.tokens + contexts[0].pool()[:, None]
        shares = tokens.new_tensor([Noted.calls, -Noted.calls]).expand(*query.mask.shape, 2)
        loss = {"calls": torch.tensor(float(Noted.calls))}
        return Fused(Stream(tokens, query.mask), loss, shares)


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_losses_and_shares_are_averaged_over_the_calls_of_the_fusion(name):
    for fusion_at, mean in (("last", 1.0), ("every", 1.5)):  # of two layers
        Noted.calls = 0
        module = build_part(
            "decoders",
            name,
            {"fusion_at": fusion_at},
            dim=D,
            vocabulary=VOCABULARY,
            fusion=lambda: Noted(D, ["image"]),
        )
        decoded = module(random_words(), [context()])
        assert decoded.losses["calls"].item() == mean
        assert decoded.shares.shape == (B, L, 2)
        assert decoded.shares[0, 0].tolist() == [mean, -mean]


class SeesAll(Noted):
    """Cannot be causal."""

    causal = False


@in_states
def test_a_fusion_that_cannot_be_causal_is_refused(name, options):
    with pytest.raises(
        MMBenchError, match=f"{name}: .*SeesAll cannot be causal.*`mmbench list fusions`"
    ):
        build_part(
            "decoders",
            name,
            options,
            dim=D,
            vocabulary=VOCABULARY,
            fusion=lambda: SeesAll(D, ["image"]),
        )


@every
def test_texts_are_read_and_spelled_by_the_decoder(name):
    module = decoder(name)
    numbers, mask = module.read(["word3 word1 word0", "word5"], 2)
    assert mask.tolist() == [[True, True], [True, False]]
    assert module.spell(numbers[0][mask[0]].tolist()) == "word3 word1"
    assert module.spell(numbers[1][mask[1]].tolist()) == "word5"

"""Parts as recipes name them: what is built, and what is refused before anything is trained."""

import numpy as np
import pytest
import torch
from torch import nn

import mmbench
from mmbench import registry
from mmbench.data.words import Vocabulary
from mmbench.errors import MMBenchError
from mmbench.parts import build_encoder, build_fusion
from mmbench.recipe import Part, load_recipe, read_part
from mmbench.training.objectives.weighted import total
from mmbench.zoo.decoders.fused import Decoded
from mmbench.zoo.decoders.text import TextDecoder
from mmbench.zoo.encoders.base import Encoder, WordEncoder
from mmbench.zoo.fusion.base import Fused, Fusion, PooledFusion
from mmbench.zoo.fusion.concat import ConcatFusion
from mmbench.zoo.fusion.cross_attention import CrossAttentionFusion
from mmbench.zoo.fusion.late import LateFusion
from mmbench.zoo.part import build_part
from mmbench.zoo.stream import Stream
from tests.zoo.test_fusion_contract import CAUSAL

WORDS = Vocabulary(["a", "dog"])
SMALL = {"width": 16, "encoders.image.channels": [8]}


@pytest.fixture
def plug_in(monkeypatch):
    """Registers classes by name for the time of a test."""
    found = {}
    load, names, has = registry.load, registry.names, registry.has
    monkeypatch.setattr(
        registry,
        "load",
        lambda kind, name: found[kind, name] if (kind, name) in found else load(kind, name),
    )
    monkeypatch.setattr(
        registry, "names", lambda kind: [*names(kind), *(n for k, n in found if k == kind)]
    )
    monkeypatch.setattr(
        registry, "has", lambda kind, name: (kind, name) in found or has(kind, name)
    )

    def add(kind, name, cls):
        found[kind, name] = cls

    return add


def recipe(**overrides):
    return load_recipe("concat_fusion", SMALL | overrides)


# Fusions of the earlier contract, as its plug-ins were written.


class CountedContexts(PooledFusion):
    def __init__(self, dim: int, contexts: int) -> None:
        super().__init__(dim, contexts)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in range(1 + contexts)])

    def fuse(self, vectors, present):
        return sum(vectors)


class CountedWithoutSaying(PooledFusion):
    def __init__(self, dim, contexts):
        super().__init__(dim, contexts)
        self.project = nn.ModuleList([nn.Linear(dim, dim) for _ in range(1 + contexts)])

    def fuse(self, vectors, present):
        return sum(vectors)


class SaysNoForm(Fusion):
    def forward(self, query, contexts, *, causal=False):
        return Fused(query)


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (CountedContexts, "takes the number of contexts"),
        (CountedWithoutSaying, "fails on names"),
        (SaysNoForm, "does not say its `query_form`"),
        (nn.Linear, "not a subclass"),
    ],
)
def test_a_fusion_of_the_earlier_contract_gets_one_line_that_says_what_changed(plug_in, cls, says):
    plug_in("fusions", "old", cls)
    with pytest.raises(MMBenchError, match=r"earlier contract.*Fused\(") as error:
        build_fusion(recipe(fusion="old"), ["image"])
    assert says in str(error.value)
    assert "\n" not in str(error.value)


class GivesTensor(PooledFusion):
    def fuse(self, vectors, present):
        return sum(vectors)


class FusesTensor(PooledFusion):
    def fuse(self, vectors, present):
        return Fused(sum(vectors))


class GivesStream(Fusion):
    query_form = context_form = "pooled"
    causal = True

    def forward(self, query, contexts, *, causal=False):
        return query


class Joins(PooledFusion):
    def fuse(self, vectors, present):
        return Fused(Stream(torch.cat(vectors, -1), present[0]))


class Stumbles(PooledFusion):
    def fuse(self, vectors, present):
        return Fused(Stream(vectors[0] @ torch.ones(3, 3), present[0]))


class NoMask(PooledFusion):
    def fuse(self, vectors, present):
        return Fused(Stream(vectors[0], present[0][0]))


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (GivesTensor, ("GivesTensor gave a Tensor (1, 1, 16)", "Fused(stream)")),
        (FusesTensor, ("FusesTensor gave a Fused of a Tensor (1, 1, 16)", "Stream (1, 1, 16)")),
        (GivesStream, ("GivesStream gave a Stream of tokens (1, 1, 16)", "Fused(stream)")),
        (Joins, ("Joins gave a Fused of a Stream of tokens (1, 1, 32)", "Stream (1, 1, 16)")),
        (Stumbles, ("Stumbles fails", "RuntimeError", "test_parts.py, line", "in fuse")),
        (NoMask, ("NoMask fails", "mask (B, N), got (1, 1, 16) and (1,)", "in fuse")),
    ],
)
def test_a_mistake_in_a_fusions_forward_names_it_what_it_gave_and_what_is_due(plug_in, cls, says):
    plug_in("fusions", "mine", cls)
    with pytest.raises(MMBenchError) as error:
        build_fusion(recipe(fusion="mine"), ["image"])
    assert all(words in str(error.value) for words in says), str(error.value)
    assert "check fusion" in str(error.value)
    assert "\n" not in str(error.value)


class GivesTokens(Encoder):
    modality = "image"

    def __init__(self, dim: int, wide: int = 0) -> None:
        super().__init__()
        self.dim, self.wide = dim, wide

    def forward(self, x, mask=None):
        tokens = torch.zeros(len(x), 4, self.dim + self.wide)
        return Stream.whole(tokens) if self.wide else tokens


@pytest.mark.parametrize(
    ("wide", "says"), [(0, "gave a Tensor (2, 4, 16)"), (1, "tokens (2, 4, 17)")]
)
def test_a_mistake_in_an_encoders_forward_names_it_and_what_is_due(wide, says):
    with pytest.raises(MMBenchError) as error:
        GivesTokens(16, wide)(torch.zeros(2, 3, 8, 8))
    assert "the encoder GivesTokens gave" in str(error.value)
    assert says in str(error.value)
    assert "a Stream (2, N, 16) is due" in str(error.value)


class Unequal(LateFusion):
    def forward(self, logits, present, target=None):
        return Decoded(torch.cat(list(logits), -1))


def test_a_mistake_of_a_fusion_of_decisions_names_it_and_what_is_due():
    logits, present = [torch.zeros(2, 5)] * 2, [torch.ones(2, dtype=torch.bool)] * 2
    with pytest.raises(MMBenchError, match=r"Unequal gave a Decoded of a Tensor .2, 10. .*2, 5"):
        Unequal(("text", "image"))(logits, present)


class OldEncoder(Encoder):
    modality = "image"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return Stream.whole(x)


class OldTextEncoder(WordEncoder):
    def __init__(self, dim: int, vocabulary: int) -> None:
        super().__init__(vocabulary)

    def forward(self, x, mask=None):
        return Stream.whole(x)


@pytest.mark.parametrize(("cls", "modality"), [(OldEncoder, "image"), (OldTextEncoder, "text")])
def test_an_encoder_of_the_earlier_contract_gets_one_line_that_says_what_changed(
    plug_in, cls, modality
):
    plug_in("encoders", "old", cls)
    with pytest.raises(MMBenchError, match="old is written for an earlier contract.*mask"):
        build_encoder(modality, Part(name="old"), 8, WORDS)


class Unfinished(TextDecoder):
    """Of the earlier contract: it neither reads nor spells."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, words, contexts):
        return words

    def begin(self, batch, device):
        return []

    def step(self, words, state, contexts):
        return words, state


def test_a_decoder_that_lacks_what_its_contract_asks_for_gets_one_line(plug_in):
    plug_in("decoders", "unfinished", Unfinished)
    with pytest.raises(MMBenchError, match="the decoder unfinished lacks read, spell"):
        build_part("decoders", "unfinished", {}, dim=8)


class OfTwo(ConcatFusion):
    """Defined for the query and one context."""

    most_contexts = 1


def test_a_fusion_asked_for_more_contexts_than_it_is_defined_for_is_refused(plug_in):
    plug_in("fusions", "of_two", OfTwo)
    assert build_fusion(recipe(fusion="of_two"), ["image"]).contexts == ("image",)
    with pytest.raises(MMBenchError, match="of_two is defined for at most 1.*2: image, audio"):
        build_fusion(recipe(fusion="of_two"), ["image", "audio"])


def test_an_unknown_fusion_is_looked_for_among_those_of_decisions_too():
    with pytest.raises(MMBenchError, match="no fusion called 'late_men'. Did you mean late_mean"):
        build_fusion(recipe(fusion="late_men"), ["image"])


class Balanced(ConcatFusion):
    """Gives a loss of its own, and shares."""

    auxiliary = ("balance",)

    def fuse(self, vectors, present):
        fused = super().fuse(vectors, present)
        shares = torch.tensor([0.75, 0.25]).expand(*present[0].shape, 2)
        return Fused(fused.stream, {"balance": torch.tensor(5.0)}, shares)


def built(task_name, samples, **overrides):
    task = registry.load("tasks", task_name)()
    spec = task.dataset("scenes" if task_name != "vqa" else None)
    torch.manual_seed(0)
    resolved = task.resolve(recipe(**overrides), spec)
    return task.build(resolved, task.assets(samples))


@pytest.fixture
def questions(mini):
    task = registry.load("tasks", "vqa")()
    return task.load(task.dataset(mini), "train").limited(40)


def test_losses_of_a_fusion_are_weighed_by_the_recipe(plug_in, questions):
    plug_in("fusions", "balanced", Balanced)
    found = {}
    for weights in ({}, {"balance": 0.1}, {"balance": 0.0, "task": 2.0}):
        model = built("vqa", questions, fusion="balanced", losses=weights)
        batch = model.collate_training(questions, np.random.default_rng(0))
        losses = model.losses(batch)
        assert losses["fusion.balance"].item() == pytest.approx(5 * weights.get("balance", 1))
        found[len(weights), weights.get("task", 1.0)] = losses["answer"].item()
        assert total(losses).isfinite()
    assert found[2, 2.0] == pytest.approx(2 * found[0, 1.0])


def test_a_weight_of_a_loss_that_nothing_gives_is_refused(plug_in, questions):
    plug_in("fusions", "balanced", Balanced)
    with pytest.raises(MMBenchError, match="loss 'ballance'.*task, balance"):
        built("vqa", questions, fusion="balanced", losses={"ballance": 1.0})
    with pytest.raises(MMBenchError, match="loss 'balance', which ConcatFusion does not give"):
        built("vqa", questions, losses={"balance": 1.0})
    with pytest.raises(MMBenchError, match="losses.balance must be"):
        recipe(losses={"balance": -1.0})


def test_shares_are_told_in_the_records_notes(plug_in, questions):
    plug_in("fusions", "balanced", Balanced)
    model = built("vqa", questions, fusion="balanced").eval()
    assert model.notes() == []
    model.answer(model.collate(questions.queries))
    (note,) = model.notes()
    assert "text 75.0%, image 25.0%" in note
    model.prepare(questions.queries)
    assert model.notes() == []
    plain = built("vqa", questions).eval()
    plain.answer(plain.collate(questions.queries))
    assert plain.notes() == []


class SeesAll(CrossAttentionFusion):
    """Cannot be causal."""

    causal = False


@pytest.mark.parametrize("decoder", ["rnn", "transformer"])
@pytest.mark.parametrize("fusion", ["sees_all", *sorted({*registry.names("fusions")} - {*CAUSAL})])
def test_a_fusion_that_cannot_be_causal_is_refused_where_text_is_written(
    plug_in, small_scenes, decoder, fusion
):
    plug_in("fusions", "sees_all", SeesAll)
    task = registry.load("tasks", "captioning")()
    few = task.load(task.dataset(small_scenes["image"]), "train")
    with pytest.raises(
        MMBenchError, match=f"{decoder}: writes from left to right.*causal"
    ) as error:
        built("captioning", few, fusion=fusion, decoder=decoder)
    assert "\n" not in str(error.value)


def test_a_fusion_of_decisions_is_refused_where_there_are_none(small_scenes, tmp_path):
    for task in ("captioning", "retrieval"):
        with pytest.raises(MMBenchError, match="late_mean joins the decisions"):
            mmbench.run(
                task,
                "late_mean_fusion",
                dataset=small_scenes["image"],
                train=True,
                overrides={"width": 16},
                out=tmp_path,
            )


def seen_by(model, batch):
    """The shapes of query and contexts that the model's fusion is given."""
    shapes = []

    def note(module, arguments, keywords):
        query, contexts = arguments
        shapes.extend(stream.tokens.shape[1] for stream in (query, *contexts))

    handle = model.fusion.register_forward_pre_hook(note, with_kwargs=True)
    model(batch)
    handle.remove()
    return shapes


def test_vqa_hands_over_tokens_or_vectors_as_the_fusion_says(plug_in, questions):
    class PooledQuery(CrossAttentionFusion):
        query_form = "pooled"

    class PooledContexts(CrossAttentionFusion):
        context_form = "pooled"

    plug_in("fusions", "pooled_query", PooledQuery)
    plug_in("fusions", "pooled_contexts", PooledContexts)
    words = max(len(s.inputs["text"].rstrip("?").split()) + 1 for s in questions)
    for name, expected in (
        ("concat", [1, 1]),
        ("pooled_query", [1, 256]),
        ("pooled_contexts", [words, 1]),
        ("cross_attention", [words, 256]),
        ("merged_attention", [words, 256]),
    ):
        model = built("vqa", questions, fusion=name)
        assert seen_by(model, model.collate(questions.queries)) == expected


@pytest.mark.parametrize("fusion", [*registry.names("fusions"), *registry.names("late_fusions")])
def test_every_fusion_is_trained_by_vqa_and_its_answers_do_not_depend_on_the_batch(
    questions, fusion
):
    model = built("vqa", questions, fusion=fusion)
    losses = model.losses(model.collate_training(questions, np.random.default_rng(0)))
    total(losses).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    together = model(model.collate(questions.queries)).logits
    alone = model(model.collate(questions.queries[3:4])).logits
    torch.testing.assert_close(together[3:4], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mean", "first", "attention"])
def test_a_recipe_chooses_how_an_encoder_pools(questions, kind):
    model = built("vqa", questions, **{"encoders.text": {"name": "gru", "pooling": kind}})
    batch = model.collate(questions.queries)
    stream = model.encoder("text")(batch["text"], batch["text_mask"])
    pooled = model.stream("text", batch).tokens[:, 0]
    parameters = {n for n, _ in model.named_parameters() if ".pooling." in n}
    assert bool(parameters) is (kind == "attention")
    if kind == "attention":
        pooling = model.encoder("text").pooling
        for row, there in enumerate(stream.mask):
            tokens = stream.tokens[row][there]
            weights = pooling.score(tokens)[:, 0].softmax(0)
            torch.testing.assert_close(pooled[row], weights @ tokens, atol=1e-5, rtol=1e-5)
    else:
        first = stream.tokens[:, 0]
        torch.testing.assert_close(pooled, first if kind == "first" else stream.pool())


def test_a_pooling_that_is_unknown_or_has_no_effect_is_refused(questions):
    text = {"name": "gru", "pooling": "middle"}
    with pytest.raises(MMBenchError, match="text.pooling must be one of mean, first"):
        built("vqa", questions, **{"encoders.text": text})
    text = {"name": "gru", "pooling": "first"}
    with pytest.raises(MMBenchError, match="pooling: first has no effect"):
        built("vqa", questions, fusion="cross_attention", **{"encoders.text": text})


def test_a_part_is_read_with_its_pooling():
    assert read_part({"name": "gru", "pooling": "first"}).options == {"pooling": "first"}

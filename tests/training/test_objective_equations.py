"""Each objective's loss against its equation, written out by hand in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.objectives.itm import drawn_by, matching_loss
from mmbench.training.objectives.mlm import hidden
from mmbench.training.objectives.moco import follow, info_nce
from mmbench.training.objectives.nsp import follows_loss
from mmbench.training.objectives.nt_xent import both_directions
from mmbench.training.objectives.project import squared_distance
from mmbench.training.objectives.siglip import sigmoid_loss
from mmbench.training.objectives.simclr import nt_xent
from mmbench.training.objectives.texts import NOTHING, Unigram, asked_loss
from mmbench.training.objectives.weighted import WeightedObjectives, total
from tests.training.steps import BERT, FLAMINGO

KEYS = ("text", "text_mask", "target")


def vectors(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def close(value, expected):
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_simclr_is_equation_1_of_its_paper(tau):
    first, second = vectors(2, 5, 7)
    z = torch.stack([first, second], 1).flatten(0, 1)  # z_2k-1 and z_2k are views of one thing

    def loss(i, j):
        others = sum(math.exp(cosine(z[i], z[k]) / tau) for k in range(10) if k != i)
        return -math.log(math.exp(cosine(z[i], z[j]) / tau) / others)

    pairs = [(2 * k, 2 * k + 1) for k in range(5)]
    close(nt_xent(first, second, tau), sum(loss(i, j) + loss(j, i) for i, j in pairs) / 10)


def test_moco_is_equation_1_of_its_paper():
    queries, queue = vectors(4, 6), nn.functional.normalize(vectors(9, 6, seed=1), dim=1)
    keys = nn.functional.normalize(vectors(4, 6, seed=2), dim=1)
    tau = 0.2
    each = []
    for q, k in zip(queries, keys, strict=True):
        right = math.exp(cosine(q, k) / tau)
        wrong = sum(math.exp(cosine(q, other) / tau) for other in queue)
        each.append(-math.log(right / (right + wrong)))
    close(info_nce(queries, keys, queue, tau), sum(each) / 4)


def test_mocos_copy_is_equation_2_of_its_paper():
    slow, fast = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(2))
    fast(torch.randn(8, 3))
    before = {name: value.clone() for name, value in slow.state_dict().items()}
    with torch.no_grad():
        follow(slow, fast, 0.9)
    for name, value in slow.state_dict().items():
        theirs = fast.state_dict()[name]
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * theirs)
        else:
            assert torch.equal(value, theirs)


def test_cross_entropy_of_what_is_asked_alone_counts():
    logits = vectors(2, 3, 4)
    target = torch.tensor([[0, NOTHING, 3], [NOTHING, 2, NOTHING]])

    def nothing(z, right):
        return -math.log(math.exp(z[right]) / sum(math.exp(v) for v in z))

    asked = [(0, 0, 0), (0, 2, 3), (1, 1, 2)]
    expected = sum(nothing(logits[b, t].tolist(), right) for b, t, right in asked) / 3
    close(asked_loss(logits, target), expected)
    assert asked_loss(logits, torch.full_like(target, NOTHING)).item() == 0


def test_next_sentences_are_judged_by_binary_cross_entropy():
    logits, target = vectors(4), torch.tensor([1.0, 0.0, 1.0, float("nan")])
    chances = [1 / (1 + math.exp(-z)) for z in logits.tolist()]
    expected = -(math.log(chances[0]) + math.log(1 - chances[1]) + math.log(chances[2])) / 3
    close(follows_loss(logits, target), expected)


def test_nt_xent_between_modalities_is_the_mean_of_both_directions():
    x, y, tau = vectors(4, 5), vectors(4, 5, seed=1), 0.3

    def one_way(a, b):
        each = []
        for i in range(4):
            scores = [math.exp(cosine(a[i], b[j]) / tau) for j in range(4)]
            each.append(-math.log(scores[i] / sum(scores)))
        return sum(each) / 4

    scale = torch.tensor(1 / tau, dtype=torch.float64)
    close(both_directions(x, y, scale), (one_way(x, y) + one_way(y, x)) / 2)


def test_siglip_is_the_sum_over_all_pairs_of_each_row():
    x, y, t, b = vectors(3, 5), vectors(3, 5, seed=1), 10.0, -10.0
    expected = 0.0
    for i in range(3):
        for j in range(3):
            z = 1 if i == j else -1
            expected -= math.log(1 / (1 + math.exp(-z * (t * cosine(x[i], y[j]) + b))))
    scale, bias = torch.tensor(t, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    close(sigmoid_loss(x, y, scale, bias), expected / 3)


def test_matching_is_the_cross_entropy_of_right_and_wrong_pairs():
    logits = vectors(6, 2)
    expected = 0.0
    for place, (wrong, right) in enumerate(logits.tolist()):
        chance = math.exp(right) / (math.exp(wrong) + math.exp(right))
        expected -= math.log(chance if place < 2 else 1 - chance)
    close(matching_loss(logits, 2), expected / 6)


def test_a_wrong_partner_is_never_the_right_one_and_near_ones_are_drawn_most():
    near = torch.zeros(3, 3)
    near[0, 1], near[0, 0] = 4.0, 9.0
    torch.manual_seed(0)
    drawn = torch.stack([drawn_by(near) for _ in range(300)])
    assert not (drawn == torch.arange(3)).any()
    assert (drawn[:, 0] == 1).float().mean() > 0.9
    assert 0.35 < (drawn[:, 1] == 0).float().mean() < 0.65


def test_a_projection_is_regressed_onto_normalised_vectors():
    projected, space = vectors(3, 4), vectors(3, 4, seed=1)

    def normal(v):
        mean = sum(v) / 4
        variance = sum((a - mean) ** 2 for a in v) / 4
        return [(a - mean) / math.sqrt(variance + 1e-5) for a in v]

    expected = 0.0
    for p, s in zip(projected.tolist(), space.tolist(), strict=True):
        expected += sum((a - b) ** 2 for a, b in zip(normal(p), normal(s), strict=True)) / 4
    close(squared_distance(projected, space), expected / 3)


def test_of_the_chosen_words_80_10_10_percent_are_hidden_replaced_and_kept():
    rng = np.random.default_rng(0)
    numbers = rng.integers(2, 5002, size=(400, 40))
    there = np.ones_like(numbers, dtype=bool)
    there[:, 30:] = False
    words = np.arange(2, 5002)
    shown, places, target = hidden(numbers, there, words, 0, 0.15, rng)
    assert places.shape == (400, 4)  # round(0.15 * 30)
    assert (target != NOTHING).all()
    assert (places < 30).all()
    assert all(len(set(row)) == 4 for row in places.tolist())
    assert np.array_equal(np.take_along_axis(numbers, places, 1), target)
    now = np.take_along_axis(shown, places, 1)
    shares = [(now == 0).mean(), ((now != 0) & (now != target)).mean(), (now == target).mean()]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    untouched = np.ones_like(there)
    np.put_along_axis(untouched, places, False, 1)
    assert np.array_equal(shown[untouched], numbers[untouched])


def test_texts_of_fewer_words_have_fewer_chosen_and_one_at_least():
    numbers = np.arange(2, 42).reshape(2, 20)
    may = np.zeros((2, 20), bool)
    may[0], may[1, 3] = True, True
    _, _, target = hidden(numbers, may, np.arange(2, 42), 0, 0.15, np.random.default_rng(0))
    assert (target != NOTHING).sum(1).tolist() == [3, 1]
    assert target[1, 0] == numbers[1, 3]


def test_a_unigram_model_counts_words_with_one_more_of_each():
    unigram = Unigram(4)
    unigram.count([np.array([2, 2, 3]), np.array([2])])
    chances = [1 / 8, 1 / 8, 4 / 8, 2 / 8]
    torch.testing.assert_close(unigram.log_chance.exp(), torch.tensor(chances))
    found = unigram.measured(torch.tensor([2, 3, NOTHING]))
    assert found.count == 2
    assert found.total.item() == pytest.approx(-math.log(4 / 8 * 2 / 8))


def objective(model, samples, asked, chosen=40):
    found = WeightedObjectives(Stage(name="one", objective=asked), model, Train())
    found.check(model, samples)
    found.prepare(model, samples)
    (part,) = found._parts.values()
    return found, part, found.collate(model, samples[:chosen], np.random.default_rng(0))


def test_each_next_word_and_the_end_are_asked_for(small_model):
    _, model, samples = small_model("retrieval")
    _found, part, batch = objective(model, samples, "clm")
    text, target, there = (batch["clm"][name] for name in ("text", "target", "text_mask"))
    for row, asked, mask in zip(text, target, there, strict=True):
        length = int(mask.sum())
        assert asked[: length - 1].tolist() == row[1:length].tolist()
        assert asked[length - 1] == part._end
        assert (asked[length:] == NOTHING).all()
    later = {name: value.clone() for name, value in batch["clm"].items()}
    later["text"][:, 4:] = 2
    one, other = part.logits(model.eval(), batch["clm"]), part.logits(model, later)
    torch.testing.assert_close(one[:, :4], other[:, :4])


@pytest.mark.parametrize(
    "recipe", [{"decoder": "transformer"}, {"decoder": "rnn"}, FLAMINGO], ids=str
)
def test_a_decoder_is_asked_for_each_word_from_the_first_and_sees_no_medium(small_model, recipe):
    _, model, samples = small_model("captioning", **recipe)
    found, part, batch = objective(model.eval(), samples, "clm", 4)
    text, target, there = (batch["clm"][name] for name in ("text", "target", "text_mask"))
    captions = [caption for sample in samples[:4] for caption in sample.target]
    end = model.decoder.end
    for row, asked, mask, words in zip(
        text, target, there, model.vocabulary.rows(captions), strict=True
    ):
        assert row[mask].tolist() == [end, *words]
        assert asked[mask].tolist() == [*words, end]
        assert (asked[~mask] == NOTHING).all()
    logits = model.decoder(text, [None]).logits
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    loss = part.losses(model, batch["clm"])["words"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    joins = [n for n, _ in model.named_parameters() if n.split(".")[1] in model.decoder.joins]
    assert joins
    assert not any(found.reach(name) for name in [*joins, "encoders.image.layers.0.weight"])
    loss.backward()
    learns = [n for n, p in model.named_parameters() if p.grad is not None and found.reach(n)]
    assert learns
    told = part.measured(model, batch["clm"])
    assert told["perplexity"].count == (target != NOTHING).sum()


def test_pairs_of_texts_follow_each_other_or_are_of_different_groups(small_model):
    _, model, samples = small_model("retrieval", **BERT)
    _, _part, batch = objective(model, samples, "nsp", 200)
    texts = {s.group: [] for s in samples}
    for sample in samples:
        if "text" in sample.inputs:
            texts[sample.group].append(sample.inputs["text"])
    follows = {a + b for told in texts.values() for a, b in itertools.pairwise(told)}
    words = model.vocabulary
    seen = set()
    for row, mask, target in zip(
        *(batch["nsp"][n] for n in ("text", "text_mask", "target")), strict=False
    ):
        numbers = row[mask].tolist()
        between = numbers.index(0)
        a, b = words.decode(numbers[:between]), words.decode(numbers[between + 1 :])
        joined = {words.decode(words.rows([f])[0]) for f in follows}
        seen.add(target.item())
        assert (words.decode(words.rows([a + b])[0]) in joined) == bool(target)
    assert seen == {0.0, 1.0}


def test_mocos_queue_holds_the_last_keys_and_is_kept_with_the_training(small_model):
    _, model, samples = small_model("vqa")
    found, part, batch = objective(model, samples, {"moco": {"queue": 12, "momentum": 0.5}})
    model.train(), found.train()
    count = len(batch["moco"]["image"])
    begun = part.queue.clone()
    assert begun.norm(dim=1) == pytest.approx(torch.ones(12), abs=1e-5)
    total(found.losses(model, batch)).backward()
    assert all(p.grad is None for p in part.copy.parameters())
    keys = part._latest.clone()
    found.after_step(model)
    torch.testing.assert_close(part.queue[:count], keys)
    torch.testing.assert_close(part.queue[count:], begun[count:])
    assert part.place == count
    while part.place >= count:  # round and round
        total(found.losses(model, batch))
        keys = part._latest.clone()
        found.after_step(model)
    torch.testing.assert_close(part.queue[: int(part.place)], keys[count - int(part.place) :])
    kept = found.state_dict()
    assert {"_parts.moco.queue", "_parts.moco.place"} <= set(kept)
    assert any(name.startswith("_parts.moco.copy.0.") for name in kept)


def test_mocos_keys_say_nothing_of_the_batch_that_they_are_made_with(small_model):
    _, model, samples = small_model("vqa")
    found, part, batch = objective(model, samples, "moco")
    model.train(), found.train()
    images = batch["moco"]["image"]
    torch.testing.assert_close(part.keys(images)[:2], part.keys(images[:2]), rtol=0, atol=1e-5)


def test_alignment_learns_the_models_own_projections_where_it_has_some(small_model):
    for task, own in (("retrieval", True), ("vqa", False)):
        _, model, samples = small_model(task)
        found, part, _batch = objective(model, samples, "nt_xent")
        assert found.reach("project.text.weight") == own
        assert found.reach("log_scale") == own
        assert found.reach("encoders.image.layers.0.weight")
        assert not found.reach("fusion.anything")
        assert bool(list(part.parameters())) != own
    _fixed, part, _ = objective(model, samples, {"nt_xent": {"learnt": False}})
    assert not part.log_scale.requires_grad


def test_a_projection_leaves_the_space_that_it_is_onto(small_model):
    _, model, samples = small_model("vqa")
    found, _, batch = objective(model, samples, "project")
    total(found.losses(model, batch)).backward()
    moved = {n.split(".")[1] for n, p in model.named_parameters() if p.grad is not None}
    assert moved == {"image"}
    _, model, samples = small_model("captioning", **{"decoder": "gpt2"})
    found, _, _ = objective(model, samples, {"project": {"by": "captioning"}})
    reached = {n for n, _ in model.named_parameters() if found.reach(n)}
    assert {n.split(".")[1] for n in reached} == {"asks", "fused", "enter"}

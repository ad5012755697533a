"""Candidates, what ranks them, and what guidance needs; end to end with a tiny decoder."""

import numpy as np
import pytest
import torch

import mmbench
from mmbench import registry
from mmbench.checkpoint import Checkpoint, read_checkpoint, shipped_weights
from mmbench.data.media import MediaRef, MediaSet
from mmbench.data.sample import Query
from mmbench.errors import MMBenchError
from mmbench.recipe import load_recipe
from mmbench.zoo.decoders.image import Sampling
from mmbench_tasks.generation.ranking import Ranker, candidate_seed, resized
from mmbench_tasks.generation.task import Generation
from tests.tasks.generation.test_generation import TINY, pictures, run

RANKED = {"candidates": 4, "ranked_by": "scenes/dual_encoder"}
DALLE = {
    **{key: value for key, value in TINY.items() if key != "decoder"},
    "decoder": {"name": "dalle", "layers": 1, "autoencoder": TINY["decoder"]["autoencoder"]},
}
PROMPTS = ["a red circle", "a small blue star", "a green square left of a cross"]


def model(few, overrides, recipe="gated_fusion"):
    """A tiny model with weights as they are drawn, and prompts in a batch."""
    task = Generation()
    spec = task.dataset(few)
    resolved = task.resolve(load_recipe(recipe, overrides), spec)
    torch.manual_seed(0)
    made = task.build(resolved, {"words": sorted(set(" ".join(PROMPTS).split()))})
    images = torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8)
    made.decoder.autoencoder.train().loss(images)  # the codebooks start from data
    return made.eval()


def with_sampling(**sampling):
    return TINY | {"decoder": TINY["decoder"] | {"sampling": sampling}}


def queries():
    return [Query(f"test/{n}", {"text": text}) for n, text in enumerate(PROMPTS)]


def test_the_answer_is_the_candidate_that_the_ranker_finds_best(few):
    made = model(few, with_sampling(**RANKED))
    batch = made.collate(queries())
    with torch.inference_mode():
        answers = made.answer(batch)
        seeds = batch["seed"].tolist()
        drawn = [
            made._drawn(made.contexts(batch), [candidate_seed(seed, number) for seed in seeds])
            for number in range(4)
        ]
        retrieval = made.ranker.network_on(torch.device("cpu"))
        for row, text in enumerate(PROMPTS):
            candidates = torch.stack([images[row] for images in drawn])
            large = resized(candidates, 64).permute(0, 2, 3, 1).numpy()
            media = MediaSet(large, "x")
            asked = [Query("t", {"text": text})]
            asked += [Query(f"i{n}", {"image": MediaRef(media, "x", n)}) for n in range(4)]
            found = [e.embedding for e in retrieval.answer(retrieval.collate(asked))]
            cosines = torch.stack(found[1:]) @ found[0]
            assert cosines.std() > 0
            best = candidates[cosines.argmax()].permute(1, 2, 0).numpy()
            assert np.array_equal(answers[row], best)


def test_the_first_candidate_is_what_is_drawn_without_any(few):
    alone, ranked = model(few, with_sampling()), model(few, with_sampling(**RANKED))
    batch = ranked.collate(queries())
    with torch.inference_mode():
        first = alone.answer(alone.collate(queries()))
        # Whose text is missing, the ranker does not know it either
        for one, other in zip(
            alone.answer(alone.without(alone.collate(queries()), "text")),
            ranked.answer(ranked.without(batch, "text")),
            strict=True,
        ):
            assert np.array_equal(one, other)
        chosen = ranked.answer(batch)
    same = [np.array_equal(one, other) for one, other in zip(first, chosen, strict=True)]
    assert not all(same)
    assert candidate_seed(batch["seed"][0].item(), 0) == batch["seed"][0].item()


def test_what_is_chosen_does_not_depend_on_the_batch(few):
    made = model(few, with_sampling(**RANKED))
    with torch.inference_mode():
        together = made.answer(made.collate(queries()))
        alone = [made.answer(made.collate([query]))[0] for query in queries()]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one, other)


def test_what_ranks_is_neither_trained_nor_kept_and_is_counted(few, tmp_path):
    overrides = with_sampling(**RANKED) | {"train.epochs": 1}
    result = run(few, tmp_path, overrides=overrides)
    kept = read_checkpoint(result.path / "weights.safetensors")
    assert not [name for name in kept.tensors if "ranker" in name]
    assert result.record.parameters["ranker (frozen)"] > 100_000
    assert any("best of 4, ranked by scenes/dual_encoder" in n for n in result.record.notes)
    plain = run(few, tmp_path, overrides=TINY | {"train.epochs": 1})
    assert result.record.flops_per_sample > 3.5 * plain.record.flops_per_sample
    # The same bytes again, from the weights alone; a copy elsewhere is the same ranker
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(shipped_weights("retrieval", "scenes", "dual_encoder").read_bytes())
    options = {"train": False, "checkpoint": result.path / "weights.safetensors"}
    again = run(few, tmp_path, overrides=overrides, **options)
    elsewhere = run(
        few, tmp_path, overrides=with_sampling(candidates=4, ranked_by=str(copy)), **options
    )
    assert elsewhere.path == again.path
    for one, other in zip(pictures(result), pictures(again), strict=True):
        assert np.array_equal(one, other)


def test_a_retrieval_model_with_a_fusion_ranks_by_its_matching_score_too():
    ranker = Ranker("scenes/gated_fusion")
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    batch = ranker.read(PROMPTS)
    with torch.inference_mode():
        scores = ranker(batch, images)
        plain = Ranker("scenes/dual_encoder")
        assert not torch.allclose(scores, plain(plain.read(PROMPTS), images))
        torch.testing.assert_close(scores[1:2], ranker(ranker.read(PROMPTS[1:2]), images[1:2]))


def test_a_ranker_whose_encoders_prepare_what_they_read_scores_as_it_does_in_retrieval(tmp_path):
    task = registry.load("tasks", "retrieval")()
    spec = task.dataset("scenes")
    recipe = task.resolve(load_recipe("clip", {"width": 16, "encoders.text.hidden": 16}), spec)
    assets = {"words": sorted(set(" ".join(PROMPTS).split()))}
    torch.manual_seed(0)
    retrieval = task.build(recipe, assets).eval()
    about = {"task": "retrieval", "dataset": "scenes", "seed": 0}
    path = tmp_path / "clip.safetensors"
    kept = Checkpoint(retrieval.state_dict(), recipe.settings(), assets, about)
    path.write_bytes(kept.to_bytes())
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    media = MediaSet(resized(images, spec.image_size).permute(0, 2, 3, 1).numpy(), "x")
    shown = [Query(f"i{row}", {"image": MediaRef(media, "x", row)}) for row in range(3)]
    with torch.inference_mode():
        found = [e.embedding for e in retrieval.answer(retrieval.collate([*queries(), *shown]))]
        expected = (torch.stack(found[:3]) * torch.stack(found[3:])).sum(-1) * retrieval.scale()
        ranker = Ranker(str(path))
        torch.testing.assert_close(ranker(ranker.read(PROMPTS), images), expected)


def test_real_pictures_rank_above_those_of_other_prompts(real):
    ranker = Ranker("scenes/dual_encoder")
    pixels = torch.from_numpy(real.pictures).permute(0, 3, 1, 2).contiguous()
    with torch.inference_mode():
        own = ranker(ranker.read(real.prompts), pixels)
        others = ranker(ranker.read(real.prompts), pixels.roll(1, 0))
    assert (own > others).float().mean() > 0.95


@pytest.mark.parametrize(
    ("sampling", "says"),
    [
        ({"guidance": -1.0}, "decoder.sampling: guidance must be at least 0, got -1"),
        ({"candidates": 0}, "decoder.sampling: candidates must be at least 1, got 0"),
        ({"candidates": 4}, "candidates: 4 needs ranked_by"),
        ({"ranked_by": "scenes/dual_encoder"}, "ranked_by has no effect on 1 candidate"),
        ({"candidates": 2, "ranked_by": "nowhere.safetensors"}, "ranked_by.*no file nowhere"),
        (
            {"candidates": 2, "ranked_by": "scenes_video/gated_fusion"},
            "compares texts with video, and what is drawn are images",
        ),
    ],
)
def test_sampling_that_cannot_be_is_named_before_anything_is_trained(
    few,
    tmp_path,
    sampling,
    says,
):
    with pytest.raises(MMBenchError, match=says):
        run(few, tmp_path, overrides=with_sampling(**sampling))


def test_a_checkpoint_of_another_task_cannot_rank(few, tmp_path):
    asks = str(shipped_weights("vqa", "scenes", "gated_fusion"))
    with pytest.raises(MMBenchError, match="was trained for vqa.* must be trained for retrieval"):
        run(few, tmp_path, overrides=with_sampling(candidates=2, ranked_by=asks))


def test_guidance_is_refused_where_nothing_was_learnt_without_a_prompt(few, tmp_path):
    never = TINY | {"decoder": TINY["decoder"] | {"unprompted": 0.0}}
    with pytest.raises(MMBenchError, match="never learns what is drawn without one"):
        run(few, tmp_path, overrides=never)
    strong = DALLE | {"decoder": DALLE["decoder"] | {"sampling": {"guidance": 2.0}}}
    with pytest.raises(MMBenchError, match=r"guidance: 2 .* this dalle never learns"):
        run(few, tmp_path, "dalle", overrides=strong)
    never["decoder"] = never["decoder"] | {"sampling": {"guidance": 1.0}}
    assert model(few, never)._sampling == Sampling(guidance=1.0, temperature=0.7)


def test_dalle_trains_draws_and_draws_the_same_again(few, tmp_path):
    result = run(few, tmp_path, "dalle", overrides=DALLE)
    assert len({picture.tobytes() for picture in pictures(result)}) == 24
    assert set(result.record.parameters) == {"encoders.text", "decoder"}
    again = run(few, tmp_path / "again", "dalle", overrides=DALLE)
    for one, other in zip(pictures(result), pictures(again), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fusion": "gated"}, "dalle joins the prompt itself.*no fusion"),
        ({"encoders.text": None}, "dalle joins the prompt itself.*an encoder for text"),
        ({"encoders.text": {"name": "bert", "layers": 1}}, "see none ahead: choose bag_of_words"),
    ],
)
def test_what_dalle_cannot_stand_with_is_named(few, tmp_path, change, says):
    with pytest.raises(MMBenchError, match=says):
        run(few, tmp_path, "dalle", overrides=DALLE | change)


def test_dalle_has_no_guidance_unless_it_was_trained_without_prompts(few):
    guided = DALLE["decoder"] | {"unprompted": 0.1, "sampling": {"guidance": 3.0}}
    made = model(few, DALLE | {"decoder": guided}, "dalle")
    batch = made.collate(queries())
    with torch.inference_mode():
        one = made.answer(batch)
        made._sampling = made._sampling.model_copy(update={"guidance": 0.0})
        other = made.answer(batch)
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_checkpoint_without_its_words_is_no_ranker(tmp_path):
    whole = read_checkpoint(shipped_weights("retrieval", "scenes", "dual_encoder"))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(Checkpoint(whole.tensors, whole.recipe, {}, whole.about).to_bytes())
    with pytest.raises(MMBenchError, match="lacks what a retrieval model is built from"):
        Ranker(str(path))


def test_mmbench_is_told_of_candidates_by_option(few, tmp_path):
    """As a user gives it, of shipped weights, on the command line or here."""
    result = mmbench.run(
        "generation",
        "concat_fusion",
        limit=4,
        out=tmp_path,
        overrides={"decoder.sampling": {"candidates": 2, "ranked_by": "scenes/dual_encoder"}},
    )
    assert result.record.samples == 4

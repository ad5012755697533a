"""Every registered objective on small models, and the augmentation of images."""

import colorsys

import numpy as np
import pytest
import torch

from mmbench import registry
from mmbench.data.sample import Sample
from mmbench.errors import MMBenchError
from mmbench.recipe import Train
from mmbench.stages import Stage
from mmbench.training.objectives.content import all_of, by_group, contents_of, pairs_of
from mmbench.training.objectives.images import (
    Augmentation,
    augmented,
    blurred,
    cropped,
    draw_views,
    with_hue_turned,
)
from mmbench.training.objectives.simclr import nt_xent
from mmbench.training.objectives.weighted import WeightedObjectives, total
from tests.training.steps import BERT

NOTHING_CHANGED = torch.tensor([[0.0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 0]])


def objectives(model, asked):
    return WeightedObjectives(Stage(name="one", objective=asked), model, Train())


def test_nt_xent_is_in_float32_under_autocast():
    first, second = torch.randn(2, 8, 16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(first, second, 0.1)
    assert torch.equal(loss, nt_xent(first, second, 0.1))


def test_a_view_that_changes_nothing_is_the_image():
    images = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8)
    assert torch.equal(augmented(images, NOTHING_CHANGED.repeat(3, 1)), images)


def test_a_crop_is_resized_and_turned_round():
    image = torch.rand(1, 3, 8, 8)
    how = NOTHING_CHANGED.clone()
    how[:, 4] = 1
    torch.testing.assert_close(cropped(image, how), image.flip(-1))
    how = NOTHING_CHANGED.clone()
    how[:, :4] = torch.tensor([0.5, 0.25, 0.5, 0.5])  # left, top, width, height
    part = torch.nn.functional.interpolate(image[:, :, 2:6, 4:], size=(8, 8), mode="bilinear")
    torch.testing.assert_close(cropped(image, how)[..., 1:-1, 1:-1], part[..., 1:-1, 1:-1])


def test_hue_is_turned_as_by_way_of_hsv():
    colours = torch.rand(4, 3, 1, 1)
    turns = torch.tensor([0.0, 0.1, -0.2, 0.5])
    found = with_hue_turned(colours, turns)[..., 0, 0]
    for colour, turn, got in zip(colours[..., 0, 0].tolist(), turns.tolist(), found, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert got.tolist() == pytest.approx(expected, abs=1e-5)


def test_a_blur_keeps_the_mean_of_an_even_image_and_spreads_a_point():
    flat = torch.full((1, 3, 40, 40), 0.3)
    torch.testing.assert_close(blurred(flat, torch.tensor([2.0])), flat)
    point = torch.zeros(2, 3, 40, 40)
    point[:, :, 20, 20] = 1
    sharp, spread = blurred(point, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(sharp, point[0])
    assert spread[0, 20, 20] < 0.5
    assert spread[0].sum().item() == pytest.approx(1, abs=1e-5)


def test_views_are_drawn_from_the_generator_alone():
    how = Augmentation(strength=1.0, blur=0.5)
    one, same, other = (draw_views(6, np.random.default_rng(s), how) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one[:, 2:4].max() <= 1
    assert ((one[:, 0] + one[:, 2]) <= 1 + 1e-6).all()


def test_views_are_cropped_greyed_and_blurred_as_often_as_asked():
    rng = np.random.default_rng(0)
    plain = draw_views(500, rng, Augmentation(crop=0.5, strength=0.0, grey=0.0, blur=0.0))
    assert ((plain[:, 2] * plain[:, 3]) >= 0.49 * 0.75).all()
    assert torch.equal(plain[:, 5:], NOTHING_CHANGED[:, 5:].expand(500, -1))
    changed = draw_views(500, rng, Augmentation(grey=0.5, blur=1.0))
    assert 0.4 < changed[:, 9].mean() < 0.6
    assert (changed[:, 10] >= 0.1).all()
    for wrong in ({"grey": 1.5}, {"blur": -0.1}, {"crop": 0.0}, {"strength": 2.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Augmentation(**wrong)


OTHER_MODELS = {  # where an objective cannot train the small model of vqa
    "autoencoder": ("generation", {}),
    "mlm": ("vqa", BERT),
}


@pytest.mark.parametrize("name", registry.names("objectives"))
def test_an_objective_gives_finite_losses_and_draws_only_from_its_generator(small_model, name):
    """And its gradient stays within what it says that it reaches."""
    task, overrides = OTHER_MODELS.get(name, ("vqa", {}))
    _, model, samples = small_model(task, **overrides)
    found = objectives(model, name)
    found.prepare(model, samples)
    model.train()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, same = (found.collate(model, samples[:60], np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for key, tensor in one[name].items():
        torch.testing.assert_close(tensor, same[name][key], equal_nan=True, rtol=0, atol=0)
    losses = found.losses(model, one)
    assert losses
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    total(losses).backward()
    with_gradient = [n for n, p in model.named_parameters() if p.grad is not None]
    assert with_gradient
    assert all(found.reach(n) for n in with_gradient)
    found.train()
    found.losses(model, one)
    found.after_step(model)


def test_losses_of_several_objectives_are_weighed_and_named(small_model):
    _, model, samples = small_model("vqa")
    model.eval()
    both = objectives(model, {"task": 1.0, "simclr": {"weight": 0.5, "temperature": 0.2}})
    batch = both.collate(model, samples[:40], np.random.default_rng(0))
    losses = both.losses(model, batch)
    assert set(losses) == {"task.answer", "simclr.nt_xent"}
    alone = model.losses(batch["task"])["answer"]
    assert losses["task.answer"].item() == alone.item()
    assert total(losses).item() == pytest.approx(sum(x.item() for x in losses.values()))


def test_what_one_objective_draws_changes_nothing_of_anothers(small_model):
    _, model, samples = small_model("captioning")
    chosen = samples[:12]
    first, second = (
        objectives(model, asked).collate(model, chosen, np.random.default_rng(0))["task"]["words"]
        for asked in (["task", "simclr"], {"task": 1.0, "simclr": {"blur": 0.5}})
    )
    assert torch.equal(first, second)


def test_simclr_pulls_views_of_an_image_together(small_model):
    _, model, samples = small_model("vqa")
    found = objectives(model, "simclr")
    optimizer = torch.optim.AdamW([*model.parameters(), *found.parameters()], lr=3e-3)
    model.train()
    values = []
    for step in range(30):
        batch = found.collate(model, samples, np.random.default_rng(step))
        loss = total(found.losses(model, batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-5:]) < np.mean(values[:5]) - 0.3


def test_images_and_texts_of_samples_are_found_in_every_task(small_model):
    for name in registry.names("tasks"):
        samples = small_model(name)[2]
        assert len(all_of(samples, "image")) == len({s.group for s in samples}) == 48
        texts = by_group(samples, "text")
        assert len(texts) == 48
        assert any(len(told) > 1 for told in texts.values())
        ones, others = pairs_of(samples, "text", "image", np.random.default_rng(0))
        assert len(ones) == len(set(others)) == 48
    with pytest.raises(MMBenchError, match="have none"):
        all_of([s for s in small_model("retrieval")[2] if "text" in s.inputs], "image")


def test_an_answer_is_no_text_and_a_caption_is():
    asked = Sample("a", {"text": "what?"}, ["red", "red", "blue"], "g")
    assert contents_of(asked, "text") == ["what?"]
    assert contents_of(Sample("a", {}, ["a cat", "a dog"], "g"), "text") == ["a cat", "a dog"]
    assert contents_of(Sample("a", {}, "red", "g"), "text") == []
    drawn = Sample("a", {"text": "one"}, {"captions": ["one", "two"]}, "g")
    assert contents_of(drawn, "text") == ["one", "two"]


@pytest.mark.parametrize(
    ("task", "asked", "says"),
    [
        ("generation", "simclr", "encoder for image, which this model does not have: it has text"),
        ("vqa", "autoencoder", "decoder of images"),
        ("vqa", "simclar", "no objective called 'simclar'. Did you mean simclr"),
        ("vqa", {"simclr": {"temperature": -1.0}}, "temperature"),
        ("vqa", {"simclr": {"tau": 1.0}}, "simclr has no option 'tau'"),
        ("generation", "moco", "encoder for image, which this model does not have"),
        ("vqa", {"moco": {"momentum": 1.0}}, "momentum"),
        ("vqa", "mlm", "choose an encoder that reads in both directions.*or the objective clm"),
        ("captioning", "mlm", "encoder for text, which this model does not have: it has image"),
        ("captioning", "nt_xent", "no encoder for text: it has image"),
        ("generation", "siglip", "no encoder for image: it has text"),
        ("vqa", {"nt_xent": {"between": ["text", "sound"]}}, "no encoder for sound"),
        ("vqa", {"nt_xent": {"between": ["text"]}}, "names two modalities"),
        ("captioning", "itm", "no encoder for text"),
        ("vqa", {"itm": {"between": ["image", "text"]}}, "joins image to text"),
        ("vqa", {"project": {"by": "captioning"}}, "models that write texts"),
        ("captioning", "project", "no encoder for text"),
    ],
)
def test_an_objective_that_cannot_train_a_model_is_refused(small_model, task, asked, says):
    _, model, _ = small_model(task)
    with pytest.raises(MMBenchError, match=says):
        objectives(model, asked)

from pathlib import Path

import pytest

from mmbench.errors import MMBenchError
from mmbench.recipe import FUSION_KINDS, Part, Recipe, digest, load_recipe, parse_overrides
from mmbench.registry import kind_of, location, names

ENCODERS = {"image": "conv", "text": "gru"}


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_resolve_fills_in_what_the_task_supplies():
    recipe = load_recipe("gated_fusion").resolve(ENCODERS, "classifier")
    assert recipe.encoders == {"image": Part(name="conv"), "text": Part(name="gru")}
    assert recipe.decoder == Part(name="classifier")


def test_null_drops_a_modality():
    recipe = load_recipe("question_only").resolve(ENCODERS, "classifier")
    assert recipe.encoders["image"] is None


def test_override_of_one_key_leaves_the_others():
    recipe = load_recipe("gated_fusion", {"train.epochs": 3})
    assert recipe.train.epochs == 3
    assert recipe.train.batch == load_recipe("gated_fusion").train.batch


def test_override_gives_a_named_part_an_option():
    recipe = load_recipe("gated_fusion", {"encoders.text": "gru", "encoders.text.layers": 2})
    assert recipe.encoders["text"] == Part(name="gru", options={"layers": 2})


def test_a_part_without_a_name_is_the_default_with_other_options():
    changes = {"decoder.search.kind": "beam", "encoders.image.channels": [8]}
    recipe = load_recipe("gated_fusion", changes).resolve(
        {"image": {"name": "conv", "coordinates": True}}, {"name": "rnn", "layers": 2}
    )
    assert recipe.decoder == Part(name="rnn", options={"layers": 2, "search": {"kind": "beam"}})
    options = {"coordinates": True, "channels": [8]}
    assert recipe.encoders == {"image": Part(name="conv", options=options)}


def test_numbers_with_an_exponent_are_numbers():
    assert parse_overrides(["train.lr=1e-3"]) == {"train.lr": 1e-3}


def test_the_hash_does_not_depend_on_words_or_order(tmp_path):
    one = load_recipe(write(tmp_path, "fusion: gated\nwidth: 64\nsummary: a"))
    two = load_recipe(write(tmp_path, "width: 64\nsummary: b\nfusion: {name: gated}"))
    assert digest(one.settings()) == digest(two.settings())


def test_the_hash_depends_on_every_setting():
    base = load_recipe("gated_fusion")
    seen = {digest(base.settings())}
    for key, value in {"width": 64, "train.lr": 0.1, "fusion": "concat", "train.clip": 2.0}.items():
        seen.add(digest(load_recipe("gated_fusion", {key: value}).settings()))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: {epochs: many}", "train.epochs must be a valid integer, got 'many'"),
        ("train: {lr: -0.001}", "train.lr must be greater than 0, got -0.001"),
        ("train: {lr: yes}", "train.lr must be a valid number, got 'yes'"),
        ("train: {epoch: 3}", "no key 'train.epoch'. Did you mean train.epochs?"),
        ("fuson: gated", "no key 'fuson'. Did you mean fusion?"),
        ("train: {schedule: linear}", "train.schedule must be 'one_cycle', 'cosine' or 'constant'"),
        ("width: 12.5", "width must be a valid integer, got 12.5"),
        ("predictor: majority\nfusion: gated", "predictor stands alone"),
        ("- a\n- b", "must be a mapping"),
        ("width: [1", "not valid YAML (line"),
    ],
)
def test_a_mistake_in_a_file_names_file_and_key(tmp_path, text, says):
    path = write(tmp_path, text)
    with pytest.raises(MMBenchError) as error:
        load_recipe(path)
    assert "mine.yaml: " in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("from_command_line")
@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("train.epoch=3", "--set train.epoch: no key 'train.epoch'. Did you mean train.epochs?"),
        ("train.epochs=0", "--set train.epochs: train.epochs must be at least 1"),
        ("width.x=3", "--set width.x: 'width' holds no keys"),
    ],
)
def test_a_mistake_in_set_names_the_key(pair, says):
    with pytest.raises(MMBenchError) as error:
        load_recipe("gated_fusion", parse_overrides([pair]))
    assert says in str(error.value)


@pytest.mark.usefixtures("from_command_line")
def test_set_without_a_value_says_how():
    with pytest.raises(MMBenchError, match="--set takes KEY=VALUE"):
        parse_overrides(["train.epochs"])


def test_an_encoder_for_a_modality_that_the_task_has_not():
    recipe = Recipe.model_validate({"encoders": {"imge": "conv"}})
    with pytest.raises(MMBenchError, match="Did you mean image"):
        recipe.resolve(ENCODERS, "classifier")


@pytest.mark.parametrize("fusion", [*names("fusions"), *names("late_fusions")])
def test_every_fusion_of_our_own_has_recipes_that_differ_in_their_encoders_alone(fusion):
    kind = kind_of(fusion, FUSION_KINDS)
    if not location(kind, fusion)[0].startswith("mmbench."):
        pytest.skip("not one of ours")
    trained, frozen = (load_recipe(f"{fusion}_fusion{end}") for end in ("", "_pretrained"))
    assert trained.fusion == Part(name=fusion)
    assert not trained.encoders
    assert {k: part.name for k, part in frozen.encoders.items()} == {
        "image": "efficientnet_lite0",
        "text": "minilm",
    }
    assert frozen.model_copy(update={"encoders": {}}).settings() == trained.settings()
    assert trained.source == frozen.source
    assert "frozen pretrained" in frozen.summary


def test_overrides_are_left_as_they_were_given():
    given = {"decoder": {"name": "image_tokens"}, "decoder.name": "cnn"}
    assert load_recipe("gated_fusion", given).decoder.name == "cnn"
    assert given == {"decoder": {"name": "image_tokens"}, "decoder.name": "cnn"}

"""What moves the hash of a run, and what does not."""

import json
import sys
import textwrap

import pytest

from mmbench import registry, versions
from mmbench.errors import MMBenchError
from mmbench.experiments.plan import make_plan
from mmbench.recipe import Recipe, Train, load_recipe
from mmbench.records.identity import Identity, differences
from mmbench.request import run_request
from mmbench.stages import Stage
from mmbench.yaml_file import setting
from tests.conftest import MINI


def identity(mini, **changes):
    request = {"task": "vqa", "model": "gated_fusion", "dataset": mini, "train": True} | changes
    return make_plan(run_request(**request)).identity


@pytest.fixture
def base(mini):
    return identity(mini)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "concat_fusion"},
        {"model": "image_only"},
        {"model": "majority"},
        {"split": "validation"},
        {"limit": 5},
        {"overrides": {"width": 64}},
        {"overrides": {"encoders.text.layers": 2}},
        {"overrides": {"encoders.image": {"name": "conv", "coordinates": True}}},
        {"overrides": {"encoders.text": "bag_of_words"}},
        {"overrides": {"train.epochs": 3}},
        {"overrides": {"train.batch": 32}},
        {"overrides": {"train.neighbours": 2}},
        {"overrides": {"train.neighbours_by": "order"}},
        {"overrides": {"train.neighbours_from": 0.1}},
        {"overrides": {"train.lr": 1e-3}},
        {"overrides": {"train.weight_decay": 0.1}},
        {"overrides": {"train.schedule": "cosine"}},
        {"overrides": {"train.warmup": 0.2}},
        {"overrides": {"train.clip": 2.0}},
        {"overrides": {"train.optimizer": "sgd"}},
        {"overrides": {"train.optimizer.beta2": 0.95}},
        {"overrides": {"train.accumulate": 2}},
        {"overrides": {"train.ema": 0.99}},
        {"overrides": {"train.patience": 3}},
        {"overrides": {"train.choose_by": "loss"}},
        {"overrides": {"train.choose_by": "exact_match"}},
        {"overrides": {"train.label_smoothing": 0.1}},
        {"overrides": {"train.dropout": 0.1}},
        {"overrides": {"train.modality_dropout": 0.1}},
        {"overrides": {"train.keep": "last"}},
        {"overrides": {"balance": "ogm_ge"}},
        {"overrides": {"balance": {"name": "ogm_ge", "alpha": 0.2}}},
        {"threads": 3},
        {"compile": True},
    ],
    ids=str,
)
def test_whatever_decides_the_predictions_moves_the_hash(mini, base, changes):
    assert identity(mini, **changes).hash != base.hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("image_size: 64", "image_size: 32"),
        ("image_size: 64", "image_size: 64\noptions: {answers: 2}"),
        ("  yes/no: [yes, no]", "  yes/no: [yes, no]\n  colour: [red]"),
        ("hold_out: 0.2", "hold_out: 0.3"),
        ("image_size: 64", "image_size: 64\ntrain: {epochs: 3}"),
        ("image_size: 64", "image_size: 64\nmetrics: [exact_match]"),
    ],
    ids=["content", "options", "categories", "validation", "training", "what chooses the epoch"],
)
def test_whatever_the_dataset_decides_moves_the_hash(tmp_path, mini, base, old, new):
    path = tmp_path / "mini.yaml"
    path.write_text(MINI.replace(old, new))
    assert identity(str(path)).hash != base.hash


def test_each_field_of_an_identity_moves_its_hash(base):
    other = {
        **dict.fromkeys(("task", "dataset", "split", "fingerprint", "weights"), "other"),
        **dict.fromkeys(("chosen_by", "device", "init", "predictions"), "other"),
        "limit": 7,
        "threads": 3,
        "compiled": True,
        "processes": 2,
        **{key: {"key": "other"} for key in ("data", "settings", "parts", "fitted_on")},
        "joint": {"captioning": {"dataset": "other"}},
    }
    assert set(other) == set(Identity.model_fields)
    hashes = {base.model_copy(update={key: value}).hash for key, value in other.items()}
    assert len(hashes) == len(other)
    assert base.hash not in hashes


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 5},
        {"batch_size": 3},
        {"force": True},
        {"resume": True},
        {"device": "cpu"},
        {"limit": 100_000},
        {"overrides": {"summary": "in other words", "source": "elsewhere"}},
        {"overrides": {"width": 128, "train.lr": 2e-3, "encoders.text.layers": 1}},
        {"overrides": {"train.optimizer": {"name": "adamw", "beta1": 0.9}, "train.ema": 0.0}},
        {"overrides": {"train.choose_by": "accuracy"}},
    ],
    ids=str,
)
def test_what_decides_nothing_leaves_the_hash(mini, base, changes):
    assert identity(mini, **changes).hash == base.hash


def test_compiling_decides_nothing_where_nothing_is_trained(mini):
    alone = identity(mini, model="majority", train=False)
    assert identity(mini, model="majority", train=False, compile=True).hash == alone.hash


def test_threads_decide_nothing_where_nothing_is_trained(mini):
    alone = identity(mini, model="majority", train=False)
    assert identity(mini, model="majority", train=False, threads=3).hash == alone.hash


def test_what_is_reported_is_not_part_of_it_but_what_chooses_the_epoch_is(tmp_path, mini, base):
    path = tmp_path / "mini.yaml"
    path.write_text(MINI + "metrics: [accuracy, exact_match]\n")
    assert identity(str(path)).hash == base.hash


def test_validation_is_that_of_the_groups_names_whatever_the_dataset_is_called(tmp_path, mini):
    path = tmp_path / "renamed.yaml"
    path.write_text(MINI)
    assert identity(str(path)).fitted_on == identity(mini).fitted_on


class LaterTrain(Train):
    later: int = setting(3, added_with=3)


class OtherDefault(Train):
    clip: float = setting(5.0, added_with=1.0)


def test_a_field_that_is_added_with_a_default_leaves_every_hash():
    recipe = load_recipe("gated_fusion")
    later = recipe.model_copy(update={"train": LaterTrain(**recipe.train.model_dump())})
    assert later.deciding(trained=True) == recipe.deciding(trained=True)


def test_a_default_that_is_changed_moves_the_hash():
    recipe = load_recipe("gated_fusion")
    changed = recipe.model_copy(update={"train": OtherDefault()})
    assert changed.deciding(trained=True) == recipe.deciding(trained=True) | {"train.clip": 5.0}


def test_every_setting_says_what_it_was_added_with():
    parts = {"title", "summary", "source", "fusion", "encoders", "decoder", "balance"}
    parts |= {"train", "predictor", "stages", "search"}  # what is searched decides nothing
    stage = {"name", "objective"}
    for model, exempt in ((Train, set()), (Recipe, parts), (Stage, stage)):
        for name, field in model.model_fields.items():
            frozen = isinstance(field.json_schema_extra, dict) and "added_with" in (
                field.json_schema_extra
            )
            assert frozen or name in exempt, f"{model.__name__}.{name}"


FUSION = """
from mmbench.zoo.fusion.concat import ConcatFusion
from .scales import SCALE

class Mine(ConcatFusion):
    "Concatenation, scaled."
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """A package of someone else's with a fusion `mine` and a recipe of it; the package's folder."""
    folder = tmp_path / "plug" / "their_parts"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "fusion.py").write_text(FUSION)
    (folder / "scales.py").write_text("SCALE = 1.0\n")
    (folder / "unused.py").write_text("")
    about = tmp_path / "plug" / "their_parts-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mmbench.fusions]\nmine = their_parts.fusion:Mine\n")
    (tmp_path / "mine.yaml").write_text("fusion: mine\n")
    monkeypatch.syspath_prepend(str(tmp_path / "plug"))
    monkeypatch.delitem(sys.modules, "their_parts", raising=False)
    registry._entries.cache_clear()
    yield folder
    registry._entries.cache_clear()


def test_the_source_of_anyone_elses_part_and_of_what_it_imports_moves_the_hash(
    mini, plug_in, tmp_path
):
    def asked():
        return identity(mini, model=str(tmp_path / "mine.yaml"))

    first = asked()
    assert first.parts["fusions:mine"].startswith("sha256:")
    (plug_in / "unused.py").write_text("nothing = 1\n")
    assert asked().hash == first.hash
    (plug_in / "scales.py").write_text("SCALE = 0.0\n")
    second = asked()
    assert second.hash != first.hash
    (plug_in / "fusion.py").write_text(FUSION + "\n    clip = 1\n")
    assert len({first.hash, second.hash, asked().hash}) == 3
    assert differences(second, first) == [
        f"parts.fusions:mine: {second.parts['fusions:mine']}, not {first.parts['fusions:mine']}"
    ]


def test_a_part_whose_source_cannot_be_read_is_refused(mini, plug_in, tmp_path):
    (plug_in / "fusion.py").unlink()
    with pytest.raises(MMBenchError, match="the fusion mine is broken: there is no module"):
        identity(mini, model=str(tmp_path / "mine.yaml"))


def test_mmbenchs_own_parts_have_versions(base):
    assert base.parts == {
        **dict.fromkeys(("tasks:vqa", "encoders:conv", "encoders:gru", "fusions:gated"), 1),
        "decoders:classifier": 1,
        "training": 2,
    }


def test_a_raised_version_is_read_without_importing_the_part(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(
        textwrap.dedent(
            """
            raise RuntimeError("imported")
            class Part:
                version: ClassVar[int] = 3
                added_with = {"layers": 1}
                def __init__(self, dim, layers=2, *, tanh=True):
                    pass
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "location", lambda kind, name: ("own", "Part"))
    monkeypatch.setattr(versions, "OWN_PACKAGES", ("own",))
    assert versions.part_version("fusions", "own") == 3
    assert versions.part_defaults("fusions", "own") == ({"layers": 2, "tanh": True}, {"layers": 1})


def test_an_identity_is_plain_json_and_comes_back(base):
    assert Identity.model_validate(json.loads(base.model_dump_json())) == base


@pytest.mark.parametrize(
    "kind", ["encoders", "fusions", "late_fusions", "decoders", "balance", "predictors"]
)
def test_every_option_of_mmbenchs_own_parts_says_what_it_was_added_with(kind):
    for name in registry.names(kind):
        if registry.location(kind, name)[0].partition(".")[0] in versions.OWN_PACKAGES:
            now, added = versions.part_defaults(kind, name)
            deciding = set(now) - set(versions.undeciding(kind, name))
            assert set(added) == deciding, f"{kind}: {name}"


def test_a_recipe_without_options_holds_none(base):
    assert base.settings == {
        "fusion": "gated",
        "encoders.image": "conv",
        "encoders.text": "gru",
        "decoder": "classifier",
    }


def test_a_balance_is_part_of_it_where_something_is_trained_and_nothing_is_where_there_is_none(
    mini, base
):
    balanced = identity(mini, overrides={"balance": {"name": "ogm_ge", "alpha": 0.2}})
    assert balanced.parts == base.parts | {"balance:ogm_ge": 1}
    assert balanced.settings == base.settings | {"balance": "ogm_ge", "balance.alpha": 0.2}
    assert not any("balance" in key or "dropout" in key for key in [*base.settings, *base.parts])
    recipe = load_recipe("gated_fusion", {"balance": "ogm_ge"})
    assert not any("balance" in key for key in recipe.deciding(trained=False))

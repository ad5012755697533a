"""Runs asked again under damage: what is kept, what is reused, what is refused, what it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mmbench
from mmbench.corruptions.conditions import CLEAN
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments import under_damage
from mmbench.experiments.asked_again import Asked
from mmbench.experiments.only_fusion import OnlyByFusion
from mmbench.experiments.rescore import verify_records
from mmbench.experiments.robustness import robustness, robustness_of
from mmbench.experiments.under_damage import Settings
from mmbench.records.arrays_file import packed, unpacked
from mmbench.records.robustness_file import ROBUSTNESS_FILE, read_robustness
from mmbench.records.verification import verified
from tests.robustness.conftest import WEIGHTS

SOME = ["missing", "words_dropped"]


@pytest.fixture(scope="module")
def compared(shipped):
    return robustness_of({m: [r] for m, r in shipped.items()}, Settings(corruptions=SOME))


def kept(run):
    return read_robustness(run.path)


def test_the_undamaged_model_is_the_records(run, ask):
    ask(corruptions=SOME)
    file = kept(run)
    assert file.about.conditions[CLEAN].value == run.value
    assert np.array_equal(file.statistics[CLEAN], run.statistics().by_metric["accuracy"])
    assert len(file.about.conditions) == 1 + 2 + 2 * 4 + 5
    assert file.about.made.run == run.record.hash
    assert file.about.environment.device == "cpu"


def test_the_record_is_not_touched(run, ask):
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    ask(corruptions=["missing"])
    after = {path.name: path.read_bytes() for path in run.path.iterdir()}
    assert after.pop(ROBUSTNESS_FILE)
    assert after == before
    assert verified(run.path) == run.record
    assert not list(run.path.parent.glob(".*"))


def test_what_is_there_is_reused_without_weights_and_what_is_new_is_added(run, ask, monkeypatch):
    ask(corruptions=["missing"])
    first = kept(run)
    content = (run.path / ROBUSTNESS_FILE).read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(under_damage, "_weights", lambda *_: pytest.fail("it is asked again"))
        ask(corruptions=["missing"])
    assert (run.path / ROBUSTNESS_FILE).read_bytes() == content
    found = ask(corruptions=["typos"])
    assert found.damages == [("typos", "text")]
    assert first.about.conditions.items() < kept(run).about.conditions.items()
    ask(corruptions=["missing"], draws=1)  # other draws are another file
    assert kept(run).about.made.draws == 1
    assert "typos.text.1" not in kept(run).about.conditions


def test_force_asks_again(run, ask, monkeypatch):
    ask(corruptions=["missing"])
    asked = []
    under = Asked.under
    monkeypatch.setattr(Asked, "under", lambda *a: asked.append(a) or under(*a))
    ask(corruptions=["missing"])
    assert not asked
    ask(corruptions=["missing"], force=True)
    assert len(asked) == 1 + 2 + 2 * 4


def test_a_batchs_size_changes_nothing(run, ask):
    ask(corruptions=SOME, batch_size=128)
    first = kept(run)
    ask(corruptions=SOME, batch_size=3, force=True)
    second = kept(run)
    assert first.statistics.keys() == second.statistics.keys()
    assert all(np.array_equal(v, second.statistics[k]) for k, v in first.statistics.items())


def test_what_was_cut_off_goes_on_after_its_last_condition(run, ask, monkeypatch):
    ask(corruptions=SOME)
    whole = kept(run)
    (run.path / ROBUSTNESS_FILE).unlink()
    under, asked = Asked.under, []

    def stopped(self, condition):
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(condition.key)
        return under(self, condition)

    with monkeypatch.context() as patched:
        patched.setattr(Asked, "under", stopped)
        with pytest.raises(Interrupted, match="4 of 16 conditions"):
            ask(corruptions=SOME)
    assert set(kept(run).about.conditions) == set(asked)
    again = []
    monkeypatch.setattr(Asked, "under", lambda s, c: again.append(c.key) or under(s, c))
    ask(corruptions=SOME)
    assert not set(again) & set(asked)
    assert len(again) + len(asked) == 16
    ended = kept(run)
    assert ended.about.conditions == whole.about.conditions
    assert all(np.array_equal(v, ended.statistics[k]) for k, v in whole.statistics.items())


def edit_value(path):
    arrays, about = unpacked(path)
    about["conditions"]["missing.image.4"]["value"] = 0.99
    path.write_bytes(packed(arrays, about))


def edit_array(path):
    arrays, about = unpacked(path)
    arrays["statistics/missing.image.4"] = np.ones_like(arrays["statistics/missing.image.4"])
    path.write_bytes(packed(arrays, about))


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def other(path):
    path.write_text("{}")


@pytest.mark.parametrize("harm", [edit_value, edit_array, cut, other])
def test_a_file_that_was_changed_is_refused_by_whatever_reads_it(run, ask, harm):
    ask(corruptions=["missing"])
    harm(run.path / ROBUSTNESS_FILE)
    for read in (lambda: ask(corruptions=["missing"]), lambda: kept(run)):
        with pytest.raises(MMBenchError, match="robustness.npz.*delete it") as error:
            read()
        assert "\n" not in str(error.value)
    ask(corruptions=["missing"], force=True)
    assert kept(run).about.conditions[CLEAN].value == run.value


def test_verify_names_a_file_that_was_changed(run, ask):
    ask()
    assert [why for _, why in verify_records([run.path])] == [None]
    edit_value(run.path / ROBUSTNESS_FILE)
    ((_, why),) = verify_records([run.path])
    assert ROBUSTNESS_FILE in why


def test_what_is_kept_is_read_without_torch(run, ask):
    ask()
    text = (
        "import sys, mmbench; "
        f"mmbench.robustness({str(run.path)!r}, corruptions=['missing']); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", text], check=True)


def test_a_record_that_is_scored_again_keeps_what_lies_beside_it(run, ask, mini, tmp_path):
    ask()
    before = (run.path / ROBUSTNESS_FILE).read_bytes()
    more = tmp_path / "mini.yaml"
    more.write_text(Path(mini).read_text() + "metrics: [accuracy, exact_match]\n")
    options = {"dataset": str(more), "checkpoint": WEIGHTS, "out": tmp_path}
    again = mmbench.run("vqa", "gated_fusion", **options)
    assert again.path == run.path
    assert {e.name for e in again.record.metrics} == {"accuracy", "exact_match"}
    assert (again.path / ROBUSTNESS_FILE).read_bytes() == before
    assert ask(again, checkpoint=None).undamaged["gated_fusion"].mean == run.value
    forced = mmbench.run("vqa", "gated_fusion", force=True, **options)
    assert kept(forced) is None


def test_weights_that_are_gone_or_others_are_named(small_run, tmp_path):
    made = small_run("vqa")
    weights = made.path / "weights.safetensors"
    moved = tmp_path / "moved.safetensors"
    weights.rename(moved)
    with pytest.raises(MMBenchError, match="weights of gated_fusion.*checkpoint="):
        robustness(made)
    dataset = made.record.dataset
    assert dataset == "few_scenes"
    with pytest.raises(MMBenchError, match="few_scenes"):
        robustness(made, checkpoint=moved)  # a dataset of one's own must be named
    moved.write_bytes(moved.read_bytes()[:-1] + b"x")
    with pytest.raises(MMBenchError, match="hash is another"):
        robustness(made, checkpoint=moved)


def test_a_model_without_weights_is_refused_alone_and_left_out_beside_others(
    run, ask, mini, tmp_path
):
    majority = mmbench.run("vqa", "majority", dataset=mini, out=tmp_path)
    with pytest.raises(MMBenchError, match="majority has no weights"):
        ask(majority)
    found = ask([majority, run])
    assert found.models == ["gated_fusion"]
    assert "majority" in found.not_run["majority"][0]


def test_a_corruption_that_fits_none_of_the_models_is_refused(shipped):
    with pytest.raises(MMBenchError, match="image_noise is of image"):
        robustness(shipped["question_only"], corruptions=["image_noise"])
    with pytest.raises(MMBenchError, match="no corruption called 'nois'"):
        robustness(shipped["question_only"], corruptions=["nois"])


def test_curves_begin_at_the_models_value_and_fall(compared, shipped):
    assert compared.models[0] in ("gated_fusion", "concat_fusion")
    for (model, _, _), curve in compared.curves.items():
        assert curve.points[0].mean == pytest.approx(shipped[model].value)
        assert curve.severity[0] == 0
        assert curve.severity[-1] == 1
        assert all(p.interval.low <= p.mean <= p.interval.high for p in curve.points)
        assert min(p.mean for p in curve.points) <= curve.area.mean <= curve.points[0].mean + 0.02
    missing = compared.curves["gated_fusion", "missing", "text"]
    values = [point.mean for point in missing.points]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.3
    assert ("question_only", "missing", "image") not in compared.curves


def test_models_of_all_modalities_are_held_against_the_one_that_concatenates(compared):
    assert compared.reference == "concat_fusion"
    for (model, *_), curve in compared.curves.items():
        fuses = model in ("gated_fusion", "concat_fusion")
        assert (curve.relative is not None) == fuses
        assert (curve.effective is not None) == (model == "gated_fusion")
    own = compared.curves["gated_fusion", "missing", "image"]
    late = compared.curves["concat_fusion", "missing", "image"]
    kept_beyond = [
        (f.mean - own.points[0].mean) - (r.mean - late.points[0].mean)
        for f, r in zip(own.points, late.points, strict=True)
    ]
    assert own.effective.difference == pytest.approx(sum(kept_beyond))
    assert {own.relative, late.relative} == {0.0, 1.0}


def test_a_shuffle_tells_which_inputs_are_used(compared):
    for modality in ("image", "text"):
        drop = compared.drops["gated_fusion", modality]
        assert drop.interval.low > 0.1
    assert ("question_only", "image") not in compared.drops
    assert compared.drops["question_only", "text"].difference > 0.1
    assert abs(compared.drops["image_only", "image"].difference) < 0.1


def test_only_by_fusion_is_what_the_predictions_say(compared, shipped):
    right = {}
    for model, made in shipped.items():
        table = made.predictions()
        right[model] = (table["prediction"] == table["target"]).to_numpy()
    alone = right["question_only"] | right["image_only"]
    found = compared.only["gated_fusion"]
    assert isinstance(found, OnlyByFusion)
    assert set(found.references) == {"question_only", "image_only"}
    assert found.share.mean == pytest.approx((right["gated_fusion"] & ~alone).mean())
    assert found.share.interval.low < found.share.mean < found.share.interval.high
    assert "alone" in compared.only["question_only"]


def test_references_are_found_beside_a_run_and_told_if_absent(run, ask, mini, tmp_path):
    assert "no record of " in ask().only["gated_fusion"]
    for name in ("question_only", "image_only"):
        weights = WEIGHTS.with_name(f"{name}.safetensors")
        mmbench.run("vqa", name, dataset=mini, checkpoint=weights, out=tmp_path)
    assert isinstance(ask().only["gated_fusion"], OnlyByFusion)


def test_a_frame_has_a_row_a_level(compared):
    frame = compared.to_frame()
    assert len(frame) == sum(len(curve.points) for curve in compared.curves.values())
    assert {"model", "corruption", "modality", "severity", "amount", "value"} <= set(frame)
    assert "gated_fusion" in compared._repr_html_()


def test_seeds_of_a_model_are_taken_together(small_run, scenes_file):
    runs = [small_run("vqa", seed=seed) for seed in (0, 1)]
    other = [small_run("vqa", "concat_fusion", seed=seed) for seed in (0, 1)]
    settings = Settings(corruptions=["missing"], dataset=scenes_file)
    found = robustness_of({"gated_fusion": runs, "concat_fusion": other}, settings)
    area = found.curves["gated_fusion", "missing", "text"].area
    assert area.seeds == (0, 1)
    assert area.sd is not None
    assert found.drops["gated_fusion", "text"].paired_seeds
    assert found.curves["gated_fusion", "missing", "text"].effective.paired_seeds

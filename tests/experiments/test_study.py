"""A study: several datasets, references, budgets, a plan first, one family of tests."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import mmbench
from benchmarks.false_differences import World
from mmbench.errors import MMBenchError
from mmbench.experiments.compare import DatasetRuns, compare_datasets
from mmbench.experiments.plan import make_plan
from mmbench.experiments.references import references_for
from mmbench.experiments.study import _ranks, run_study
from mmbench.experiments.study_setup import prepare
from mmbench.records.store import find_records, write_record
from mmbench.reports.study import plan_text, study_result_text
from mmbench.request import RunRequest
from mmbench.statistics.holm import holm
from mmbench.study import make_study, read_study

SMALL = (
    "width: 16\nencoders: {{text: bag_of_words}}\nfusion: {fusion}\ntrain: {{epochs: {epochs}}}\n"
)


@pytest.fixture(scope="module")
def folder(mini_folder, tmp_path_factory):
    """Two datasets, two fusions and one that breaks."""
    root = tmp_path_factory.mktemp("study")
    text = (mini_folder / "mini.yaml").read_text()
    (root / "mini.yaml").write_text(text)
    (root / "half.yaml").write_text(text.replace("hold_out: 0.2", "hold_out: 0.4"))
    for fusion in ("concat", "sum"):
        (root / f"{fusion}.yaml").write_text(SMALL.format(fusion=fusion, epochs=1))
    return root


def values(folder, out, **more):
    given = {
        "task": "vqa",
        "dataset": f"{folder / 'mini.yaml'},{folder / 'half.yaml'}",
        "models": f"{folder / 'concat.yaml'},{folder / 'sum.yaml'}",
        "seeds": "0,4",
        "out": out,
    }
    return given | more


@pytest.fixture(scope="module")
def result(folder, mini_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(mini_folder))
        yield run_study(make_study(**values(folder, tmp_path_factory.mktemp("out"))))


REFERENCES = ["question_only", "image_only", "majority"]


def test_every_dataset_has_a_table_and_all_tests_are_one_family(result):
    assert [name for name, _ in result.family.columns] == ["vqa/mini", "vqa/half"]
    assert len(result.tables) == 2
    assert result.family.tests == 2 * 10  # five models
    raw = [pair.difference.p_value for pair in result.family.pairs]
    adjusted = [pair.adjusted for table in result.tables for pair in table.family.pairs]
    assert adjusted == pytest.approx(holm(raw).tolist())
    for table in result.tables:
        assert table.family.tests == 20
        assert {run.record.seed for runs in table.runs.values() for run in runs} == {0, 4}


def test_references_are_in_every_table_and_trained_as_the_models_are(result):
    for table in result.tables:
        assert sorted(table.references) == sorted(REFERENCES)
        recipe = table.runs["question_only"][0].record.recipe
        assert (recipe["train"]["epochs"], recipe["width"]) == (1, 16)
        assert recipe["encoders"]["text"]["name"] == "bag_of_words"
        assert recipe["encoders"]["image"] is None
        assert table.conditions.marks == {}


def test_what_does_not_beat_the_references_has_fused_nothing(result):
    # One epoch on 100 pictures teaches nothing.
    for table in result.tables:
        assert "fused nothing" in table.of_references
    text = study_result_text(result)
    assert text.count("fused nothing") >= 2
    assert "concat and sum differ on" in text or "better than" in text


def test_a_few_datasets_are_not_ranked_and_the_text_says_why(result):
    assert result.ranks is None
    assert "too few (at least 6)" in study_result_text(result)


def test_six_datasets_are_ranked_and_the_text_tells_of_it(tmp_path, result):
    world = World(tmp_path, 2, 0.5, 6, ("a", "b", "c"))
    rng = np.random.default_rng(0)
    runs = {f"vqa/d{i}": DatasetRuns(world._runs(rng)) for i in range(6)}
    tables, family = compare_datasets(runs)
    ranks, why_not = _ranks(tables, family)
    assert why_not == ""
    assert set(ranks.models) == {"a", "b", "c"}
    assert sum(ranks.average) == pytest.approx(6.0)
    text = study_result_text(
        dataclasses.replace(result, tables=tables, family=family, ranks=ranks, no_ranks="")
    )
    assert "mean over 6 datasets" in text
    assert "Friedman" in text


def test_the_study_is_kept_and_gives_itself_again(result):
    again = read_study(result.file)
    assert again.model_copy(update={"name": ""}) == result.study
    assert result.file.parent.name == "studies"


def test_what_has_a_record_is_reused_and_the_tables_are_the_same(result, folder, mini):
    told, notices = [], []
    again = run_study(
        make_study(**values(folder, result.study.out)),
        told=lambda model, seed, run: told.append(run.reused),
        notice=notices.append,
    )
    assert told == [True] * 20
    assert len(again.reused) == again.runs == 20
    assert study_result_text(again) == study_result_text(result)
    assert any("20 runs: 0 new, 20 recorded" in words for words in notices)


def test_records_of_a_device_that_is_not_here_are_reused_and_only_new_runs_want_it(
    result, folder, mini, tmp_path
):
    elsewhere = "cuda" if sys.platform == "darwin" else "mps"
    asked = make_study(**values(folder, tmp_path, references=False, device=elsewhere))
    for request in prepare(asked).requests():
        plan = make_plan(request[1])
        (run,) = [
            run
            for table in result.tables
            for run in table.runs.get(plan.model, [])
            if (run.record.identity.dataset, run.record.seed) == (plan.dataset.name, plan.seed)
        ]
        record = run.record.model_copy(update={"identity": plan.identity})
        files = {name: (run.path / name).read_bytes() for name in record.files}
        write_record(plan.folder, record, files)
    again = run_study(asked)
    assert len(again.reused) == again.runs == 8
    shutil.rmtree(plan.folder)
    with pytest.raises(MMBenchError, match=f"no device '{elsewhere}' here"):
        run_study(asked)


def test_without_references_the_table_says_so(result, folder, mini):
    study = make_study(**values(folder, result.study.out, references=False))
    found = run_study(study)
    assert {e.model for e in found.family.estimates} == {"concat", "sum"}
    assert "references  left out" in study_result_text(found)


def test_a_baseline_is_tested_against_all_and_each_fusion_against_the_best_reference(
    result, folder, mini
):
    found = run_study(make_study(**values(folder, result.study.out, baseline="sum")))
    for table in found.tables:
        pairs = [{p.difference.a, p.difference.b} for p in table.family.pairs]
        best = next(e.model for e in table.estimates if e.model in table.references)
        assert pairs.count({"sum", best}) == 1
        assert {"concat", best} in pairs
        assert len(pairs) == 5
        assert table.of_references


def test_the_plan_counts_runs_time_and_disk_and_writes_nothing(result, folder, mini, tmp_path):
    made = prepare(make_study(**values(folder, result.study.out, seeds="0,4,9")))
    assert (made.plan.runs, made.plan.recorded, len(made.plan.new)) == (30, 20, 10)
    assert made.plan.seconds > 0
    assert made.plan.megabytes > 0
    nothing = prepare(make_study(**values(folder, tmp_path / "none")))
    assert nothing.plan.seconds is None
    assert "no estimate" in plan_text(nothing.plan)
    assert not (tmp_path / "none").exists()


def test_a_model_that_fails_on_one_dataset_is_named_and_the_others_finish(folder, mini, tmp_path):
    wild = SMALL.format(fusion="concat", epochs=1).replace("epochs", "lr: 1.0e+38, epochs")
    (tmp_path / "wi_ld & co.yaml").write_text(wild)
    models = f"{tmp_path / 'wi_ld & co.yaml'},{folder / 'sum.yaml'}"
    found = run_study(
        make_study(
            **values(folder, tmp_path / "out", models=models, seeds=1, references=["majority"])
        )
    )
    assert list(found.failed) == [("vqa/mini", "wi_ld & co", 0)]
    assert study_result_text(found).count("wi_ld & co seed 0: the loss became") == 1
    assert [len(table.estimates) for table in found.tables] == [2, 3]
    study = found.study.model_copy(update={"baseline": "wi_ld & co"})
    lost = run_study(study)
    assert [table.family.columns for table in lost.tables] == [[("vqa/half", "accuracy")]]
    assert "the baseline wi_ld & co has no run" in lost.left_out["vqa/mini"]
    assert "no table    vqa/mini: the baseline" in study_result_text(lost)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modles: [a, b]\ntask: vqa\n", "no key 'modles'. Did you mean models"),
        ("task: vqa\n", "the key 'models' is missing"),
        ("task: vqa\nmodels: [a, b]\nseeds: 0\n", "seeds must be at least 1, got 0"),
        ("task: vqa\nmodels: [a, b]\nseeds: [1, 1]\n", "seeds names 1 twice"),
        ("task: vqa\nmodels: [a, b]\nseeds: many\n", "seeds must be a number of seeds"),
        ("task: vqa\nmodels: [a, b]\nbudget: parms\n", "budget must be 'as-is', 'params' or"),
        ("task: vqa\nmodels: [a, b]\ntune: -1\n", "tune must be at least 0"),
        ("task: [vqa, vqa]\nmodels: [a, b]\n", "task names vqa twice"),
        ("- a\n", "must be a mapping"),
    ],
)
def test_a_mistake_in_a_study_file_is_named_in_a_line(tmp_path, text, says):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(MMBenchError, match="study.yaml") as error:
        read_study(tmp_path / "study.yaml")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_options_change_what_the_file_says(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "task: vqa\nmodels: a, b\nseeds: 5\nset: {train.epochs: 2}\n"
    )
    study = read_study(tmp_path / "mine.yaml", seeds="3,4", overrides={"width": 8})
    assert (study.name, study.models, study.seeds) == ("mine", ["a", "b"], [3, 4])
    assert study.overrides == {"train.epochs": 2, "width": 8}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": "concat_fusion"}, "at least two models"),
        ({"dataset": "easy_vqaa"}, "Did you mean easy_vqa"),
        ({"task": "vqa,captioning", "dataset": "easy_vqa"}, "none of these datasets is for capt"),
        ({"baseline": "image_onli"}, "Did you mean image_only"),
        ({"metrics": "acuracy"}, "Did you mean accuracy"),
        ({"dataset": "easy_vqa,scenes", "data_dir": "x"}, "data_dir= is of one dataset"),
        ({"references": ["majoriti"]}, "Did you mean majority"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_written(tmp_path, changes, says):
    given = {"task": "vqa", "models": "concat_fusion,gated_fusion", "out": tmp_path / "out"}
    with pytest.raises(MMBenchError, match=says):
        prepare(make_study(**given | changes))
    assert not list(tmp_path.iterdir())


def plan(task, model, dataset, **more):
    return make_plan(RunRequest(task=task, model=model, dataset=dataset, train=True, **more))


@pytest.mark.whole
def test_references_are_those_of_the_modalities_and_take_frozen_encoders(mini):
    asked = plan("vqa", "concat_fusion", "interactions")
    names = asked.task.references(asked.dataset)
    assert names == ("question_only", "image_only", "audio_only", "majority")
    frozen = plan("vqa", "concat_fusion_pretrained", mini)
    others = references_for(
        frozen.task, frozen.dataset, ["image_only", "majority"], {"c": frozen.recipe}, {}
    )
    assert [found.model for found in others] == ["image_only_pretrained", "majority"]
    one = plan("vqa", "question_only", mini)
    [found] = references_for(
        one.task, one.dataset, ["question_only"], {"question_only": one.recipe}, {}
    )
    assert found.overrides is None
    for task in ("captioning", "generation", "retrieval"):
        here = plan(task, "concat_fusion", "scenes")
        [name] = here.task.references(here.dataset)
        plan(task, name, "scenes")


def test_overrides_of_what_a_reference_lacks_are_left_out(mini):
    asked = plan("vqa", "concat_fusion", mini)
    overrides = {"fusion": "sum", "encoders.image.coordinates": True, "train.epochs": 3}
    found = references_for(asked.task, asked.dataset, ["question_only", "majority"], {}, overrides)
    assert [f.overrides for f in found] == [{"train.epochs": 3}, {}]


def test_equal_budgets_are_met_by_widths_and_the_table_says_so(folder, mini, tmp_path):
    given = values(folder, tmp_path, dataset=str(folder / "mini.yaml"), seeds=1)
    (tmp_path / "tensor.yaml").write_text(SMALL.format(fusion="tensor", epochs=1))
    given["models"] = f"{folder / 'concat.yaml'},{tmp_path / 'tensor.yaml'}"
    for budget in ("params", "flops"):
        made = prepare(make_study(**given, budget=budget))
        [(word, words)] = made.facts["vqa/mini"][:1]
        assert word == "budget"
        assert "tensor" in words
        widths = {e.name: e.plan.recipe.width for e in made.entrants["vqa/mini"]}
        assert widths["concat"] == 16
        assert (widths["tensor"] < 16) == (budget == "params")
    found = mmbench.compare(
        "vqa",
        given["models"].split(","),
        dataset=mini,
        seeds=1,
        out=tmp_path / "out",
        budget="params",
    )
    sizes = [sum(runs[0].record.parameters.values()) for runs in found.runs.values()]
    assert max(sizes) / min(sizes) < 1.02


def test_a_budget_that_no_width_meets_is_refused_and_names_the_nearest(folder, mini, tmp_path):
    (tmp_path / "big.yaml").write_text(
        SMALL.format(fusion="concat", epochs=1).replace(
            "bag_of_words}", "bag_of_words, image: {name: conv, channels: [128, 256]}}"
        )
    )
    models = f"{folder / 'concat.yaml'},{tmp_path / 'big.yaml'}"
    study = make_study(**values(folder, tmp_path / "out", models=models, budget="params"))
    with pytest.raises(MMBenchError, match="no width of big has") as error:
        prepare(study)
    assert "the nearest, 1, has" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_trials_are_not_found_among_results(result, tmp_path):
    out = tmp_path / "out"
    record = find_records([result.study.out])[0]
    for place in (out / "vqa", out / "tuning"):
        shutil.copytree(record, place / "a" / "b" / "c" / "seed-0")
    assert len(find_records([out])) == 2
    (out / "tuning" / ".trials").touch()
    assert [path.parts[-5] for path in find_records([out])] == ["vqa"]
    assert len(find_records([Path(out / "tuning")])) == 1

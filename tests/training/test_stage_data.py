"""What stages are trained on: shares, other datasets, other tasks, and what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest

import mmbench
from mmbench.checkpoint import read_header
from mmbench.cli.show import show_text
from mmbench.errors import Interrupted, MMBenchError
from mmbench.experiments.plan import make_plan
from mmbench.experiments.watch import Watch
from mmbench.request import run_request
from mmbench.stages import Stage, StageData
from mmbench.training.objectives.content import pairs_of
from mmbench.yaml_file import validate
from tests.data.layouts import FOLDERS
from tests.training.steps import BERT
from tests.training.test_stages import IMAGE, QUICK, TUNE, log, run, weights

ALIGN = {"name": "align", "objective": "nt_xent", "trains": ["encoders"]}


def plan(dataset, stages, task="vqa", read=None, **options):
    overrides = QUICK | {"stages": stages} | options.pop("overrides", {})
    request = {"dataset": dataset, "train": True, "overrides": overrides} | options
    return make_plan(run_request(task=task, model="gated_fusion", **request), read)


@pytest.fixture
def other_file(scenes_file, tmp_path):
    """The path of another dataset, of captions alone."""
    text = Path(scenes_file).read_text().replace("part: validation, first: 48", "first: 40")
    path = tmp_path / "other_scenes.yaml"
    path.write_text(f"tasks:\n  captioning: {{}}\n{text[text.index('summary:') :]}")
    return str(path)


def test_a_share_is_always_the_same_groups_and_those_of_a_smaller_one_among_them():
    groups = [f"image {number}" for number in range(4000)]
    shares = {share: StageData(share=share).chosen(groups) for share in (0.01, 0.1, 0.5, 1.0)}
    for share, chosen in shares.items():
        assert len(chosen) / 4000 == pytest.approx(share, abs=0.02)
        assert chosen == StageData(share=share).chosen(reversed(groups))
    assert shares[0.01] < shares[0.1] < shares[0.5] < shares[1.0] == set(groups)


def test_a_share_keeps_groups_whole_and_validation_as_it_is(scenes_file):
    found = plan(scenes_file, [TUNE | {"data": {"share": 0.4}}])
    whole, validation = plan(scenes_file, [TUNE]).trained_on("tune")
    part, same = found.trained_on("tune")
    assert 0 < len(part) < len(whole)
    kept = {sample.group for sample in part}
    assert [s.id for s in part] == [s.id for s in whole if s.group in kept]
    assert [s.id for s in same] == [s.id for s in validation]
    assert (
        plan(scenes_file, [TUNE | {"data": {"share": 0.4}}], seed=3).trained_on("tune")[0] == part
    )


def test_what_a_stage_is_trained_on_is_in_the_identity_and_where_it_lies_is_not(
    scenes_file, other_file
):
    asked = [
        [TUNE],
        [TUNE | {"data": {"share": 0.4}}],
        [TUNE | {"data": {"share": 0.5}}],
        [ALIGN, TUNE],
        [ALIGN | {"data": {"dataset": other_file}}, TUNE],
        [ALIGN | {"data": {"task": "captioning"}}, TUNE],
        [ALIGN | {"data": {"split": "validation"}}, TUNE],
    ]
    read = {}
    identities = [plan(scenes_file, stages, read=read).identity for stages in asked]
    assert len({identity.hash for identity in identities}) == len(asked)
    assert set(identities[4].fitted_on) == {
        *("train", "validation", "align.train", "align.validation"),
    }
    empty = plan(scenes_file, [TUNE | {"data": {}}], read=read).identity
    moved = plan(scenes_file, [TUNE | {"data": {"data_dir": "/elsewhere"}}]).identity
    assert empty.hash == moved.hash


def test_a_stage_is_trained_on_captions_of_another_dataset(scenes_file, other_file, tmp_path):
    text = {"name": "text", "objective": "mlm", "trains": ["encoders.text"]}
    data = {"data": {"dataset": other_file}, "train": {"epochs": 1}}
    stages = [text | data, ALIGN | data, TUNE]
    result = run(scenes_file, tmp_path / "out", stages, overrides=QUICK | BERT)
    entries = log(result)
    assert [entry["stage"] for entry in entries] == ["text", "align", "tune"]
    assert entries[0]["measured"]["perplexity"] > 1
    assert entries[0]["measured"]["unigram_perplexity"] > 1
    (note,) = [note for note in result.record.notes if note.startswith("stage text")]
    assert "perplexity" in note
    words = read_header(result.path / "weights.safetensors").assets["words"]
    plain = run(scenes_file, tmp_path / "plain", [TUNE], overrides=QUICK | BERT)
    fewer = read_header(plain.path / "weights.safetensors").assets["words"]
    assert words[: len(fewer)] == fewer
    assert len(words) > len(fewer)  # captions have words of their own


@pytest.mark.parametrize(
    ("dataset", "medium", "shape"),
    [
        ("conceptual_captions", "image", (32, 32, 3)),
        ("laion", "image", (32, 32, 3)),
        ("howto100m", "video", (8, 32, 32, 3)),
    ],
)
def test_pairs_of_large_datasets_are_read_at_the_runs_own_size(
    scenes_file, tmp_path, dataset, medium, shape
):
    if medium == "video":
        pytest.importorskip("av")
    FOLDERS[dataset](tmp_path)
    validation = "val" if dataset == "conceptual_captions" else "validation"
    data = {"dataset": dataset, "data_dir": str(tmp_path), "validation": validation}
    found = plan(scenes_file, [ALIGN | {"data": data}, TUNE])
    train, validation = found.trained_on("align")
    assert len(train) > 0
    assert len(validation) > 0
    texts, media = pairs_of(train, "text", medium, np.random.default_rng(0))
    assert all(isinstance(text, str) for text in texts)
    assert media[0].array().shape == shape


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([TUNE | {"data": {"share": 0.0}}], "share must be greater than 0"),
        ([TUNE | {"data": {"share": 1.5}}], "share must be at most 1"),
        ([TUNE | {"data": {"split": "trian"}}], "no split 'trian'. Did you mean train"),
        ([TUNE | {"data": {"split": "test"}}], "by which the run is scored"),
        ([ALIGN | {"data": {"dataset": "scnes"}}, TUNE], "no dataset called 'scnes'"),
        ([TUNE | {"data": {"task": "captioning"}}], "minimises task, which is vqa"),
        ([TUNE, ALIGN], "align .nt_xent. comes after tune.*put it before"),
        ([TUNE, IMAGE, ALIGN], "image .simclr. comes after tune"),
        ([IMAGE | {"data": {"share": 0.0001}}, TUNE], "leaves none: raise data.share"),
    ],
)
def test_data_that_cannot_be_are_refused_in_a_line_before_training(
    scenes_file, tmp_path, stages, says
):
    with pytest.raises(MMBenchError, match=says) as error:
        run(scenes_file, tmp_path, stages)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("state.safetensors"))


def test_neighbours_among_samples_that_the_model_cannot_compare_are_refused_before_training(
    scenes_file, tmp_path
):
    aligned = ALIGN | {"data": {"task": "captioning"}}
    settings = {"neighbours": 2, "batch": 8, "epochs": 2, "neighbours_from": 0.0}

    def train(**changes):
        stages = [aligned | {"train": settings | changes}]
        overrides = {"stages": stages, "width": 16}
        return mmbench.run(
            *("retrieval", "dual_encoder"),
            dataset=scenes_file,
            train=True,
            overrides=overrides,
            out=tmp_path,
        )

    with pytest.raises(MMBenchError, match="align: train.neighbours: 2 .* no texts. Set train:"):
        train()
    assert not list(tmp_path.rglob("state.safetensors"))
    for changes in ({"neighbours": 1}, {"epochs": 1, "neighbours_from": 0.5}):
        assert train(**changes).record.training is not None


def test_an_objective_on_a_modality_that_the_data_lack_is_refused_before_training(
    mini, scenes_file, tmp_path
):
    texts = tmp_path / "texts.csv"
    texts.write_text("text,target\nwhat is it,a\nwho is it,b\n")
    lacking = tmp_path / "lacking.yaml"
    lacking.write_text(
        "task: vqa\nsummary: texts\nhomepage: none\nlicence: MIT\ncitation: none\n"
        "modalities: []\nlayout: {reader: csv_table, columns: {text: text, target: target}}\n"
        "splits: {train: {table: texts.csv}, validation: {table: texts.csv}}\nevaluate_on: train\n"
    )
    data = {"dataset": str(lacking), "data_dir": str(tmp_path)}
    for stage in (IMAGE, ALIGN):
        with pytest.raises(MMBenchError, match="trains on images, and the data have none"):
            run(scenes_file, tmp_path / "out", [stage | {"data": data}, TUNE])
    assert not list(tmp_path.rglob("state.safetensors"))


class CutAfter(Watch):
    """Cuts a training off after an epoch of a stage, and keeps what is said."""

    def __init__(self, stage=""):
        self.stage, self.now, self.lines = stage, "", []

    def says(self, line):
        self.lines.append(line)

    def began(self, model, seed):
        self.now = model.rpartition(" ")[2]

    def finished_epoch(self, entry):
        if self.now == self.stage:
            raise KeyboardInterrupt


def test_a_recipe_that_is_changed_while_a_stage_is_interrupted_begins_anew_and_says_why(
    scenes_file, tmp_path
):
    both = {"name": "both", "objective": {"task": 1, "simclr": 1}, "train": {"epochs": 2}}
    with pytest.raises(Interrupted):
        run(scenes_file, tmp_path, [both, TUNE], watch=CutAfter("both"))
    changed = [both | {"train": {"epochs": 3}}, TUNE]
    watch = CutAfter("both")
    with pytest.raises(Interrupted):
        run(scenes_file, tmp_path, changed, watch=watch)
    (said,) = [line for line in watch.lines if "cannot go on" in line]
    assert "stages.both.train.epochs=2 (here 3)" in said


def test_a_moco_stage_that_was_cut_off_ends_in_the_same_bytes(scenes_file, tmp_path, monkeypatch):
    def never(*_):
        return None

    monkeypatch.setattr("mmbench.training.objectives.moco.MoCo.shared", never)
    stages = [
        {
            "name": "image",
            "objective": {"moco": {"queue": 32, "momentum": 0.9}},
            "trains": ["encoders.image"],
            "train": {"epochs": 3},
        },
    ]
    whole = run(scenes_file, tmp_path / "whole", stages)
    with pytest.raises(Interrupted):
        run(scenes_file, tmp_path / "cut", stages, watch=CutAfter("gated_fusion"))
    resumed = run(scenes_file, tmp_path / "cut", stages, resume=True)
    assert log(whole)[-1]["loss"] == log(resumed)[-1]["loss"]
    ours, others = weights(whole), weights(resumed)
    assert all((ours[name] == others[name]).all() for name in ours)


def test_stages_are_shown_with_what_they_are_trained_on(mmbench, scenes_file, tmp_path):
    recipe = tmp_path / "mine.yaml"
    align = ALIGN | {"data": {"dataset": "scenes", "share": 0.1}}
    recipe.write_text(json.dumps({"fusion": "gated", "stages": [align, TUNE]}))
    shown = mmbench("show", str(recipe), "--task", "vqa", "--dataset", scenes_file)
    assert shown.returncode == 0, shown.stderr
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert any("align: nt_xent; trains encoders; on 10% of scenes" in line for line in lines)
    assert any(line.endswith("tune: task; epochs 1") for line in lines)


@pytest.mark.parametrize(("recipe", "task"), [("simclr", "vqa"), ("bert_words", "retrieval")])
def test_a_recipe_is_shown_on_a_task_that_its_stages_fit(scenes_file, recipe, task):
    shown = show_text(recipe, dataset=scenes_file)
    assert shown.startswith(f"model {recipe} on {task}/few_scenes")
    assert f"trains encoders.{'image' if task == 'vqa' else 'text'}" in shown


def test_a_stage_that_names_no_data_is_as_it_was():
    plain = validate(Stage, {"name": "one", "objective": "task"}, "here")
    assert "data" not in plain.changed()

"""`mmbench score`: files from elsewhere, run as a user runs it."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest

import mmbench
from mmbench.errors import MMBenchError
from tests.conftest import command_line, environment


def call(folder, *arguments):
    return subprocess.run(
        command_line("score", *map(str, arguments)),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )


@pytest.fixture
def vqa_files(published):
    results = published / "vqa_official"
    sample = published / "vqav2_sample"
    return {
        "results": results,
        "references": sample / "v2_mscoco_val2014_annotations.json",
        "questions": sample / "v2_OpenEnded_mscoco_val2014_questions.json",
    }


@pytest.fixture
def captions(tmp_path):
    """COCO results and annotations of three images, one caption of them empty."""
    truth = {1: ["a dog runs", "the dog is running"], 2: ["two cats sleep"], 3: ["a red ball"]}
    results = [{"image_id": 1, "caption": "a dog runs"}, {"image_id": 2, "caption": "two cats"}]
    results.append({"image_id": 3, "caption": ""})
    annotations = [{"image_id": i, "caption": c} for i, cs in truth.items() for c in cs]
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "truth.json").write_text(
        json.dumps({"images": [{"id": i} for i in truth], "annotations": annotations})
    )
    return tmp_path


@pytest.mark.parametrize("kind", ["first_annotator", "mc_answer", "always_yes", "qtype_prior"])
def test_official_vqa_scores_are_reproduced_from_files(vqa_files, tmp_path, kind):
    official = json.loads((vqa_files["results"] / "official_scores.json").read_text())[kind]
    result = mmbench.score(
        "vqa",
        vqa_files["results"] / f"res_{kind}.json",
        vqa_files["references"],
        questions=vqa_files["questions"],
        out=tmp_path,
    )
    found = {m.category: round(100 * m.value, 2) for m in result.record.metrics}
    assert found.pop(None) == official["overall"]
    assert found == official["perAnswerType"]
    assert mmbench.load_run(result.path).record == result.record
    assert len(result.predictions()) == 2962


def test_command_prints_scores_and_compare_prints_the_test(vqa_files, tmp_path):
    results = vqa_files["results"]
    a, b = results / "res_mc_answer.json", results / "res_first_annotator.json"
    common = ("--task", "vqa", "--references", vqa_files["references"])
    done = call(tmp_path, *common, "--predictions", a)
    assert done.returncode == 0, done.stderr
    assert "vqa_accuracy     96.74" in done.stdout
    for arguments in (
        (*common, "--compare", a, b),
        ("--compare", *sorted((tmp_path / "results").rglob("seed-0")) * 2),
    ):
        tested = call(tmp_path, *arguments)
        assert tested.returncode == 0, tested.stderr
        assert "paired bootstrap percentile" in tested.stdout
        assert "2,878 groups" in tested.stdout
    assert "+0.00" in tested.stdout
    assert "1.0000" in tested.stdout


def test_coco_captions_are_scored_and_an_empty_one_is_noted(captions):
    arguments = ("--task", "captioning", "--predictions", "results.json")
    done = call(captions, *arguments, "--references", "truth.json", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    values = {m["name"]: m["value"] for m in record["metrics"]}
    assert next(iter(values)) == "cider"
    assert {"bleu_4", "meteor", "rouge_l"} < set(values)
    assert 0 < values["meteor"] < 1
    assert record["notes"] == ["1 of 3 predictions are empty"]
    assert record["weights"]["source"] == "elsewhere"


def test_bca_intervals_and_standard_errors_are_on_request_and_on_record(tmp_path):
    right = [True, True, True, False] * 10
    write(tmp_path / "p.jsonl", [{"id": i, "prediction": "a"} for i in range(40)])
    rows = [{"id": i, "target": "a" if r else "b", "group": i // 2} for i, r in enumerate(right)]
    write(tmp_path / "r.jsonl", rows)
    arguments = ("--task", "vqa", "--predictions", "p.jsonl", "--references", "r.jsonl")
    done = call(tmp_path, *arguments, "--metrics", "exact_match", "--interval", "bca")
    assert done.returncode == 0, done.stderr
    assert "95% bootstrap BCa, 1,000 replicates over 20 groups" in done.stdout
    assert "n = 40  se 5.74" in done.stdout  # groups score 1 and 1/2 in turn
    paths = (tmp_path / "p.jsonl", tmp_path / "r.jsonl")
    plain = mmbench.score("vqa", *paths, metrics=["exact_match"], out=tmp_path)
    assert plain.record.primary.interval.method.startswith("bootstrap percentile")
    assert plain.record.primary.standard_error == pytest.approx(0.0573539)
    assert len(list(tmp_path.rglob("run.json"))) == 2
    with pytest.raises(MMBenchError, match="--interval is percentile or bca, got 'wald'"):
        mmbench.score("vqa", *paths, interval="wald")


def test_a_metric_that_cannot_be_computed_is_reported_beside_the_others(captions):
    arguments = ("--task", "captioning", "--predictions", "results.json", "--references")
    done = call(captions, *arguments, "truth.json", "--metrics", "rouge_l,spice")
    if "spice" not in done.stderr:
        pytest.skip("SPICE's models are installed here")
    assert done.returncode == 1
    assert "rouge_l" in done.stdout
    assert "mmbench: spice was not computed: SPICE needs stanford-corenlp" in done.stderr
    record = json.loads(next((captions / "results").rglob("run.json")).read_text())
    assert list(record["failed"]) == ["spice"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_tables_are_scored(tmp_path, suffix):
    predictions = pd.DataFrame({"id": ["a", "b"], "prediction": ["yes", "red"]})
    references = pd.DataFrame({"id": ["b", "a"], "target": ["blue", "yes"], "group": ["1", "1"]})
    for frame, name in ((predictions, "p"), (references, "r")):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
    files = (tmp_path / f"p.{suffix}", tmp_path / f"r.{suffix}")
    result = mmbench.score("vqa", *files, metrics=["exact_match"], out=tmp_path)
    assert result.value == 0.5
    assert result.record.groups == 1


@pytest.mark.parametrize(
    ("targets", "metric"),
    [
        (["red", "blue"], "accuracy"),
        ([["red", "crimson"], "blue"], "exact_match"),
        ([["red"] * 10, ["blue"] * 10], "vqa_accuracy"),
    ],
)
def test_the_metric_is_the_one_that_fits_the_right_answers(tmp_path, targets, metric):
    lines = {"given": ["red", "red"], "right": targets}
    for name, key in (("given", "prediction"), ("right", "target")):
        rows = [json.dumps({"id": i, key: value}) for i, value in enumerate(lines[name])]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    files = (tmp_path / "given.jsonl", tmp_path / "right.jsonl")
    assert mmbench.score("vqa", *files, out=tmp_path).record.primary.name == metric
    family = mmbench.compare_predictions("vqa", files[0], files[0], files[1])
    assert list(family.scales) == [metric]


def test_a_group_called_zero_is_a_group(tmp_path):
    write(tmp_path / "p.jsonl", [{"id": i, "prediction": "a"} for i in range(4)])
    write(tmp_path / "r.jsonl", [{"id": i, "target": "a", "group": i // 2} for i in range(4)])
    files = (tmp_path / "p.jsonl", tmp_path / "r.jsonl")
    result = mmbench.score("vqa", *files, metrics=["exact_match"], out=tmp_path)
    assert result.record.groups == 2


def test_retrieval_is_scored_from_a_matrix_and_from_embeddings(tmp_path):
    rng = np.random.default_rng(0)
    image, text = rng.normal(size=(4, 8)), rng.normal(size=(8, 8))
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    np.save(tmp_path / "matrix.npy", image @ text.T)
    np.savez(tmp_path / "embeddings.npz", image=image, text=text)
    (tmp_path / "images.json").write_text(json.dumps([0, 0, 1, 1, 2, 2, 3, 3]))
    results = [
        mmbench.score("retrieval", tmp_path / name, tmp_path / "images.json", out=tmp_path)
        for name in ("matrix.npy", "embeddings.npz")
    ]
    values = [{m.name: m.value for m in r.record.metrics} for r in results]
    assert values[0] == values[1]
    best = (image @ text.T).argmax(axis=0)
    hits = best == np.arange(8) // 2
    assert values[0]["text_to_image_recall_at_1"] == hits.mean()
    errors = {m.name: m.standard_error for m in results[0].record.metrics}
    of_images = hits.reshape(4, 2).sum(axis=1) - 2 * hits.mean()
    assert errors["text_to_image_recall_at_1"] == pytest.approx(
        np.sqrt(4 / 3 * (of_images**2).sum()) / 8
    )
    assert errors["rsum"] is None


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "holds no predictions"),
        ([{"id": 1, "prediction": "a"}], r"6 ids have no prediction: 0, 2, 3, 4, 5, \.\.\."),
        ([{"id": i // 2, "prediction": "a"} for i in range(14)], "7 ids have more than one"),
        ([{"id": i, "prediction": "a"} for i in range(8)], "1 ids are unknown to .*: 7"),
        ([{"id": i, "prediction": 3} for i in range(7)], "7 ids have a prediction that is not a"),
        ([{"id": 1, "answer": "a"}], "row 0 lacks the column prediction"),
        ([{"answer": "a"}], "row 0 lacks the columns id and prediction"),
    ],
)
def test_predictions_that_do_not_fit_are_one_clear_error(tmp_path, predictions, message):
    write(tmp_path / "p.jsonl", predictions)
    write(tmp_path / "r.jsonl", [{"id": i, "target": "a"} for i in range(7)])
    with pytest.raises(MMBenchError, match=message):
        mmbench.score("vqa", tmp_path / "p.jsonl", tmp_path / "r.jsonl", out=tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"{", "is not JSON"),
        (b'[{"image_id": 1, "caption": "a"}]', "They look like predictions for --task captioning"),
    ],
)
def test_files_of_another_kind_are_one_clear_error(vqa_files, tmp_path, content, message):
    (tmp_path / "p.json").write_bytes(content)
    done = call(
        tmp_path,
        *("--task", "vqa", "--predictions", "p.json", "--references", vqa_files["references"]),
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


def test_score_without_files_says_what_it_needs(tmp_path):
    done = call(tmp_path, "--task", "vqa")
    assert done.returncode == 2
    assert "needs --predictions, and --dataset or both --task and --references" in done.stderr


def test_scoring_by_another_metric_keeps_what_was_scored_before(tmp_path):
    (tmp_path / "given.jsonl").write_text('{"id": 1, "prediction": "a cat"}\n')
    (tmp_path / "right.jsonl").write_text('{"id": 1, "target": ["a cat", "the cat"]}\n')
    files = ("captioning", tmp_path / "given.jsonl", tmp_path / "right.jsonl")
    first = mmbench.score(*files, metrics=["bleu_1"], out=tmp_path / "out")
    both = mmbench.score(*files, metrics=["rouge_l"], out=tmp_path / "out")
    assert both.path == first.path
    assert [entry.name for entry in both.record.metrics] == ["rouge_l", "bleu_1"]
    assert set(both.statistics().by_metric) == {"rouge_l", "bleu_1"}
    assert mmbench.load_run(both.path).record == both.record

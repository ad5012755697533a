import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MMBenchError
from mmbench.metrics.vqa.anls import ANLS, levenshtein
from mmbench.metrics.vqa.exact_match import ExactMatch
from mmbench.metrics.vqa.normalise import normalise
from mmbench.metrics.vqa.vqa_accuracy import VQAAccuracy

OFFICIAL = ("first_annotator", "mc_answer", "always_yes", "qtype_prior")


def value(metric, predictions, targets) -> float:
    return metric.aggregate(metric.statistics(predictions, targets))


@pytest.mark.parametrize("name", OFFICIAL)
def test_vqa_accuracy_gives_every_digit_of_the_official_evaluation(published, name):
    cases = published / "vqa_official"
    expected = json.loads((cases / "official_scores.json").read_text())[name]
    given_answers = json.loads((cases / f"res_{name}.json").read_text())
    answers = {row["question_id"]: row["answer"] for row in given_answers}
    file = published / "vqav2_sample" / "v2_mscoco_val2014_annotations.json"
    annotations = json.loads(file.read_text())["annotations"]
    metric = VQAAccuracy()

    def score(rows) -> float:
        targets = [[a["answer"] for a in row["answers"]] for row in rows]
        return round(100 * value(metric, [answers[row["question_id"]] for row in rows], targets), 2)

    assert score(annotations) == expected["overall"]
    for kind, official in expected["perAnswerType"].items():
        assert score([row for row in annotations if row["answer_type"] == kind]) == official


@given(
    st.sampled_from(["yes", "no", "a dog", "2"]),
    st.lists(st.sampled_from(["yes", "no", "a dog", "two", "Dog."]), min_size=10, max_size=10),
)
def test_vqa_accuracy_is_the_mean_over_leaving_each_annotator_out(prediction, annotators):
    differ = len(set(annotators)) > 1
    texts = [normalise(a) if differ else a for a in annotators]
    mine = normalise(prediction) if differ else prediction
    each = [min(1.0, sum(t == mine for j, t in enumerate(texts) if j != i) / 3) for i in range(10)]
    ours = value(VQAAccuracy(), [prediction], [annotators])
    assert ours == pytest.approx(sum(each) / 10, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The two dogs dont", "2 dogs don't"),
        ("1,000 ft.", "1000 ft"),
        ("none", "0"),
        (" Black/white\n", "black white"),
        ("3.5", "3.5"),
    ],
)
def test_answers_are_normalised_as_officially(text, expected):
    assert normalise(text) == expected


def test_exact_match_takes_one_answer_or_several_and_ignores_case():
    assert value(ExactMatch(), ["Yes", "lung", "x"], ["yes", ["a lung", "chest"], "y"]) == 2 / 3


def _edits(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            cost = min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
            previous, row[j] = row[j], cost
    return row[-1]


@settings(max_examples=300)
@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_levenshtein_is_the_textbooks(a, b):
    assert levenshtein(a, b) == _edits(a, b)


def test_anls_takes_the_nearest_answer_and_cuts_below_half():
    assert value(ANLS(), ["hello", "hello"], [["help", "hallo"], ["world"]]) == 0.4


@pytest.mark.parametrize("metric", [VQAAccuracy(), ExactMatch(), ANLS()])
def test_what_cannot_be_scored_is_explained(metric):
    with pytest.raises(MMBenchError, match="1 predictions, 2 targets"):
        metric.statistics(["a"], [["a"] * 10] * 2)
    with pytest.raises(MMBenchError, match="prediction 0 is 3"):
        metric.statistics([3], [["a"] * 10])
    with pytest.raises(MMBenchError, match="target 0"):
        metric.statistics(["a"], [[]])

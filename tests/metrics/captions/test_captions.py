"""Caption metrics against pycocoevalcap and published values."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import MMBenchError, ToolError
from mmbench.metrics.captions import java
from mmbench.metrics.captions.bleu import BLEU
from mmbench.metrics.captions.cider import CIDErD
from mmbench.metrics.captions.meteor import METEOR
from mmbench.metrics.captions.rouge import ROUGEL
from mmbench.metrics.captions.spice import SPICE
from mmbench.metrics.captions.tokens import tokenised
from mmbench.metrics.suite import compute_statistics

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f"]), min_size=0, max_size=9).map(
    " ".join
)
CORPUS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=4)), min_size=1, max_size=8)

OFFICIAL = ["-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]


def suite(tokenizer="ptb"):
    """Every metric under the name that pycocoevalcap gives it."""
    metrics = {f"Bleu_{n}": BLEU(n, tokenizer) for n in (1, 2, 3, 4)}
    return metrics | {
        "METEOR": METEOR(tokenizer),
        "ROUGE_L": ROUGEL(tokenizer),
        "CIDEr": CIDErD(tokenizer),
    }


def values(metrics, predictions, targets):
    found = compute_statistics(list(metrics.values()), predictions, targets)
    return {name: metric.aggregate(found[metric.name]) for name, metric in metrics.items()}


def published_case(published, name):
    return json.loads((published / "published_cases.json").read_text())[name]


@pytest.mark.parametrize("case", ["nlg_eval_readme", "nlg_eval_single"])
def test_values_of_nlg_eval_are_reproduced(published, case):
    known = published_case(published, case)
    found = values(suite("whitespace"), known["hyp"], known["refs"])
    for name, value in known["expected"].items():
        assert found[name] == pytest.approx(value, abs=1e-5), name


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_values_of_the_clipscore_readme_are_reproduced(published, kind):
    known = published_case(published, f"clipscore_readme_{kind}")
    folder = published / "clipscore_example"
    captions = json.loads((folder / f"{kind}_captions.json").read_text())
    references = json.loads((folder / "refs.json").read_text())
    found = values(suite(), list(captions.values()), [references[key] for key in captions])
    for name in found:
        assert round(found[name], 4) == known["expected"][name], name


def test_flickr8k_oracle_is_met_on_every_image(shared_data):
    oracle = json.loads(
        (shared_data / "metric_cases" / "flickr8k1k_human_loo_pycocoevalcap.json").read_text()
    )
    lines = (shared_data / "flickr8k" / "Flickr8k.token.txt").read_text().splitlines()
    captions = {}
    for line in lines:
        key, text = line.split("\t")
        captions.setdefault(key.split(".jpg")[0], []).append(text)
    ids = list(oracle["per_image"]["CIDEr"])
    metrics = suite()
    found = compute_statistics(
        list(metrics.values()), [captions[i][0] for i in ids], [captions[i][1:] for i in ids]
    )
    for name, metric in metrics.items():
        statistics = found[metric.name]
        assert metric.aggregate(statistics) == pytest.approx(oracle["corpus"][name], abs=1e-9)
        known = oracle["per_image"].get(name)
        if known:
            each = [metric.aggregate(row[None]) for row in statistics]
            expected = [known[i] for i in ids]
            np.testing.assert_allclose(each, expected, rtol=0, atol=1e-9, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(CORPUS)
def test_bleu_rouge_and_cider_equal_pycocoevalcap_on_random_captions(corpus):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    # An empty caption is a case of our own: it scores zero even against an empty reference.
    corpus = [(candidate or "a", [r or "b" for r in refs]) for candidate, refs in corpus]
    result = {i: [candidate] for i, (candidate, _) in enumerate(corpus)}
    truth = {i: refs for i, (_, refs) in enumerate(corpus)}
    predictions, targets = [c for c, _ in corpus], [refs for _, refs in corpus]

    bleu, bleu_each = Bleu(4).compute_score(truth, result, verbose=0)
    for n in (1, 2, 3, 4):
        metric = BLEU(n, "whitespace")
        statistics = metric.statistics(predictions, targets)
        assert metric.aggregate(statistics) == pytest.approx(bleu[n - 1], abs=1e-9)
        each = [metric.aggregate(row[None]) for row in statistics]
        assert each == pytest.approx(bleu_each[n - 1], abs=1e-9)
    for metric, peer in ((ROUGEL("whitespace"), Rouge()), (CIDErD("whitespace"), Cider())):
        _, each = peer.compute_score(truth, result)
        found = metric.statistics(predictions, targets)[:, 0]
        np.testing.assert_allclose(found, each, rtol=0, atol=1e-9)


@pytest.mark.whole
def test_meteor_of_many_captions_equals_the_programs_own_aggregate():
    captions = ["a dog runs", "two cats are sleeping", "the red ball"]
    targets = [["a dog runs"], ["two cats sleep on a bed", "cats"], ["a blue ball is there"]]
    metric = METEOR("whitespace")
    statistics = metric.statistics(captions, targets)
    rows = " ||| ".join(" ".join(str(x) for x in row) for row in statistics.tolist())
    assert statistics[0, 20] == 0, "a perfect match"
    with java.JavaProgram("METEOR", OFFICIAL, java.pycocoevalcap_folder("meteor")) as program:
        *each, whole = program.answer([f"EVAL ||| {rows}"], seconds=120)
    assert metric.aggregate(statistics) == pytest.approx(float(whole), abs=1e-12)
    assert [metric.aggregate(row[None]) for row in statistics] == pytest.approx(
        [float(x) for x in each], abs=1e-12
    )


def whole_meteor(candidates, targets, tokenizer):
    """The counts of the program as pycocoevalcap calls it: all paraphrases, and `-norm`."""
    tokens = tokenised("meteor", tokenizer, candidates, targets)
    asked = [
        " ||| ".join(["SCORE", *references, candidate])
        for candidate, references in zip(tokens.candidates, tokens.references, strict=True)
    ]
    with java.JavaProgram("METEOR", OFFICIAL, java.pycocoevalcap_folder("meteor")) as program:
        return np.array([a.split() for a in program.answer(asked, seconds=120)], np.float64)


def assert_same_counts(found, whole):
    several = found[:, 20] > 1  # one chunk may be left out, see above
    assert several.any()
    np.testing.assert_array_equal(found[several], whole[several])
    np.testing.assert_array_equal(np.delete(found, 20, 1), np.delete(whole, 20, 1))


@pytest.mark.whole
def test_meteor_counts_are_those_of_the_whole_paraphrase_table(shared_data):
    lines = (shared_data / "flickr8k" / "Flickr8k.token.txt").read_text().splitlines()
    captions = [line.split("\t")[1] for line in lines[1000:6500]]
    candidates, targets = captions[::5], [captions[i + 1 : i + 5] for i in range(0, 5500, 5)]
    found = METEOR().statistics(candidates, targets)
    assert_same_counts(found, whole_meteor(candidates, targets, "ptb"))


@pytest.mark.whole
def test_meteor_normalises_as_the_program_does():
    odd = [
        "Mr. Smith's T-shirt isn't well-known in the U.S.A. or St. Petersburg .",
        "the price is 1,000.50 $ , or 30 % off -- no. 5 of the 1990's",
        "a caf\u00e9 -- \u201cna\u00efve\u201d \u2018quotes\u2019 ... and dots .. a.m. x.",
        "rock-n-roll-music a-b-c ''quoted'' `tick' don't o'clock '90s",
        "An ordinary sentence about a man who is riding a horse",
        "",
    ]
    rng = np.random.default_rng(0)
    words = " ".join(odd).split()
    odd += [" ".join(rng.choice(words, 12)) for _ in range(100)]
    targets = [[odd[i - 1], odd[i - 3]] for i in range(len(odd))]
    found = METEOR("whitespace").statistics(odd, targets)
    assert_same_counts(found, whole_meteor(odd, targets, "whitespace"))


def test_an_empty_caption_scores_zero_in_every_metric():
    found = compute_statistics(list(suite().values()), ["", " . "], [["a dog"], [""]])
    for metric in suite().values():
        assert metric.aggregate(found[metric.name]) == pytest.approx(0, abs=1e-6), metric.name


def test_java_needs_no_path(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    metric = METEOR()
    statistics = metric.statistics(["A dog, running fast!"], [["a dog is running fast"]])
    assert 0.3 < metric.aggregate(statistics) < 1


def test_caption_with_line_breaks_of_any_kind_stays_one_caption():
    metric = CIDErD()
    breaks = ["a\ndog", "a\r\ndog", "a\u2028dog", "a\x85dog"]
    found = metric.statistics(breaks, [["a dog"]] * 3 + [["two cats sleep"]])
    assert found[0, 0] == found[1, 0] == found[2, 0] > found[3, 0]


def test_java_that_dies_is_reported_and_the_other_metrics_are_kept(monkeypatch, tmp_path):
    real = java.pycocoevalcap_folder
    broken = tmp_path / "meteor"
    broken.mkdir()
    (broken / "data").symlink_to(real("meteor") / "data")
    (broken / "meteor-1.5.jar").write_bytes(b"no jar at all")

    def folder(part: str) -> Path:
        return broken if part == "meteor" else real(part)

    monkeypatch.setattr("mmbench.metrics.captions.meteor.pycocoevalcap_folder", folder)
    found = compute_statistics([METEOR(), CIDErD()], ["a dog"], [["a dog"]])
    assert isinstance(found["meteor"], ToolError)
    assert "exit code 1. It said: Error" in str(found["meteor"])
    assert found["cider"].shape == (1, 1)


def test_java_that_hangs_is_stopped():
    with (
        java.JavaProgram("METEOR", OFFICIAL, java.pycocoevalcap_folder("meteor")) as program,
        pytest.raises(ToolError, match="gave no answer within 0 s and was stopped"),
    ):
        program.answer(["SCORE ||| a ||| a"], seconds=0.01)


def test_java_that_hangs_is_reported_and_the_other_metrics_are_kept(monkeypatch):
    patient = java.JavaProgram.answer
    impatient = lambda program, lines, seconds: patient(program, lines, 0.01)  # noqa: E731
    monkeypatch.setattr(java.JavaProgram, "answer", impatient)
    metrics = [METEOR("whitespace"), CIDErD("whitespace")]
    found = compute_statistics(metrics, ["a dog"], [["a dog"]])
    assert "METEOR gave no answer within 0 s and was stopped. It said" in str(found["meteor"])
    assert found["cider"].shape == (1, 1)


def test_spice_says_what_to_put_where():
    if (java.pycocoevalcap_folder("spice") / "lib" / "stanford-corenlp-3.6.0.jar").exists():
        pytest.skip("SPICE's models are installed here")
    found = compute_statistics([SPICE(), ROUGEL()], ["a dog"], [["a dog"]])
    assert "stanford-corenlp-3.6.0-models.jar in " in str(found["spice"])
    assert found["rouge_l"][0, 0] == 1


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([], [], "at least one caption"),
        (["a"], [["a"], ["b"]], "1 predictions, 2 targets"),
        ([3], [["a"]], "prediction 0 is 3"),
        (["a"], [[]], "target 0 is"),
        (["a"], [[None]], "target 0 is"),
    ],
)
def test_captions_that_do_not_fit_are_one_clear_error(predictions, targets, message):
    for metric in (BLEU(4), ROUGEL(), CIDErD(), METEOR()):
        with pytest.raises(MMBenchError, match=message):
            metric.statistics(predictions, targets)

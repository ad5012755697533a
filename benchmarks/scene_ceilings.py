"""How far perfect eyes get on the generated scenes, and closed eyes.

    python benchmarks/scene_ceilings.py

Retrieval: a caption may be true of several pictures (videos, sounds), and then nobody can say which
one is meant. All captions mention every object.
Captioning: five captions of one picture differ in what they tell and how, so that even captions
made from the facts by the generator itself do not agree.
VQA: what the likeliest answer to a kind of question, or to its template, is worth without an image.
Interactions and episodes: what can be told of the answer from some of the modalities, exactly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations, permutations

import numpy as np

from mmbench.metrics.captions.bleu import BLEU
from mmbench.metrics.captions.cider import CIDErD
from mmbench.scenes.audio import sample_sounds
from mmbench.scenes.build import SceneSplit, load_scenes, load_sounds, load_videos
from mmbench.scenes.captions import captions
from mmbench.scenes.ceilings import OVERALL, ceilings
from mmbench.scenes.counter import Dice
from mmbench.scenes.episodes import BLOCKS, Episode, sample_blocks
from mmbench.scenes.facts import Claims, ObjectFact, check, place
from mmbench.scenes.interactions import (
    PAIR_CATEGORIES,
    PICTURE_CATEGORIES,
    Asked,
    sample_pairs,
    sample_pictures,
)
from mmbench.scenes.questions import Question
from mmbench.scenes.tellings import EXAMPLES
from mmbench.scenes.video import sample_videos
from mmbench.scenes.world import sample_scenes

GALLERY = 1000  # pictures, as in the split test_1k
POOLS = 9  # times that captions are made anew
CHOSEN_FROM = 3  # of these pools hold the candidates; the others judge them
PICTURES = 500  # pictures whose captions are chosen among candidates


def true_of(claims: Claims, objects: list[ObjectFact]) -> bool:
    """Whether all that a caption claims holds, and it mentions every object."""
    if len(claims["objects"]) != len(objects):
        return False
    return all(found == made for found, made in check(claims, objects).values())


def kinds(objects: list[ObjectFact]) -> list[dict[str, str]]:
    return [{**o, "place": place(o["x"], o["y"])} for o in objects]


def candidates(scenes: SceneSplit) -> dict[tuple[tuple[str, str], ...], np.ndarray]:
    """By what is said of an object, the pictures that have such an object."""
    holders: dict[tuple[tuple[str, str], ...], np.ndarray] = {}
    seen = [kinds(objects) for objects in scenes.objects[:GALLERY]]
    for told in scenes.captions[:GALLERY]:
        for caption in told:
            for mention in caption.claims["objects"]:
                key = tuple(sorted(mention.items()))
                if key not in holders:
                    holders[key] = np.array(
                        [any(mention.items() <= o.items() for o in row) for row in seen]
                    )
    return holders


def retrieval(scenes: SceneSplit) -> None:
    holders = candidates(scenes)
    fitting = []
    for told in scenes.captions[:GALLERY]:
        for caption in told:
            keys = [tuple(sorted(mention.items())) for mention in caption.claims["objects"]]
            places = np.flatnonzero(np.logical_and.reduce([holders[key] for key in keys]))
            fitting.append(sum(true_of(caption.claims, scenes.objects[p]) for p in places))
    show_recall("pictures", fitting)


def show_recall(items: str, fitting: Sequence[int]) -> None:
    """What the counts of items that a caption is true of leave of recall."""
    counts = np.array(fitting)
    assert counts.min() >= 1
    print(f"retrieval of {len(counts) // 5:,} {items}: a caption is true of {counts.mean():.2f}")
    print(f"  of one alone: {100 * (counts == 1).mean():.1f}% of captions")
    for k in (1, 5, 10):
        print(f"  recall at {k} of perfect eyes: {100 * np.minimum(k / counts, 1).mean():.1f}")


def videos() -> None:
    told = load_videos("test").captions
    seen = [
        [mover._asdict() for mover in movers]
        for movers in sample_videos("test", np.arange(len(told))).objects()
    ]

    def fits(claimed: Sequence[Mapping[str, str]], movers: list[dict[str, object]]) -> bool:
        return len(claimed) == len(movers) and any(
            all(claim.items() <= mover.items() for claim, mover in zip(claimed, order, strict=True))
            for order in permutations(movers)
        )

    claims = [caption.claims["objects"] for captions in told for caption in captions]
    show_recall("videos", [sum(fits(claim, movers) for movers in seen) for claim in claims])


def sounds() -> None:
    told = load_sounds("test").captions
    names = ("length", "loudness", "pitch", "timbre")
    heard = [
        [{name: getattr(tone, name) for name in names} for tone in tones]
        for tones in sample_sounds("test", np.arange(len(told))).tones()
    ]
    claims = [caption.claims["tones"] for captions in told for caption in captions]
    show_recall("sounds", [heard.count(claim) for claim in claims])


def captioning(scenes: SceneSplit) -> None:
    told = scenes.texts

    def show(name: str, answers: list[str], references: list[list[str]]) -> None:
        values = [m.aggregate(m.statistics(answers, references)) for m in (CIDErD(), BLEU(4))]
        print(f"  {name}: CIDEr {values[0]:.2f}, BLEU-4 {values[1]:.3f}")

    print("captions of perfect eyes")
    show("one of the five against the other four", [t[0] for t in told], [t[1:] for t in told])
    index = np.arange(len(told))
    objects = sample_scenes("test", index).objects()
    pools = []
    for number in range(POOLS):
        dice = Dice.of(f"another telling/{number}", index)
        pools.append([captions(o, d) for o, d in zip(objects, dice, strict=True)])
    show("another caption against all five", [pool[0].text for pool in pools[0]], told)
    every = [[[c.text for c in pool[i]] for pool in pools] for i in range(PICTURES)]
    offered = [list(chain(*own[:CHOSEN_FROM])) for own in every]
    judges = [list(chain(*own[CHOSEN_FROM:])) for own in every]
    metric = CIDErD()
    values = np.stack(
        [
            metric.statistics([own[n] for own in offered], judges)[:, 0]
            for n in range(len(offered[0]))
        ]
    )
    best = [own[n] for own, n in zip(offered, values.argmax(0), strict=True)]
    show(
        f"of {len(offered[0])} captions the one most like {len(judges[0])} others",
        best,
        told[:PICTURES],
    )


def questions(scenes: SceneSplit) -> None:
    asked = list(chain(*load_scenes("train").questions))
    test = list(chain(*scenes.questions))

    def show(name: str, key: Callable[[Question], str]) -> None:
        answers: dict[str, Counter[str]] = defaultdict(Counter)
        for question in asked:
            answers[key(question)][question.answer] += 1
        likeliest = {kind: found.most_common(1)[0][0] for kind, found in answers.items()}
        right = sum(likeliest.get(key(q)) == q.answer for q in test)
        print(f"  the likeliest answer of {name}: {100 * right / len(test):.1f}")

    print("questions, with closed eyes")
    show("all", lambda question: "")
    show("its category", lambda question: question.category)
    show("its template", lambda question: question.template)


def shown_alone(name: str, asked: Sequence[Asked | Episode], categories: Sequence[str]) -> None:
    columns = (*categories, OVERALL)
    print(f"{name}, the best that can be made of what is shown: {', '.join(columns)}")
    for count in range(len(asked[0].shown) + 1):
        for shown in combinations(asked[0].shown, count):
            found = ceilings(asked, shown)
            values = "  ".join(f"{float(100 * found[column]):6.2f}" for column in columns)
            print(f"  {' and '.join(shown) or 'nothing':<22}  {values}")


if __name__ == "__main__":
    block = np.arange(128)  # every split is made of such blocks, in which all facts are crossed
    shown_alone("interactions", list(chain(*sample_pairs("test", block).asked())), PAIR_CATEGORIES)
    asked = list(chain(*sample_pictures("test", block).asked()))
    shown_alone("interactions_image", asked, PICTURE_CATEGORIES)
    episodes = list(chain(*sample_blocks("test", np.arange(BLOCKS["test"])).episodes()))
    shown_alone("scenes_words", episodes, [f"{count} examples" for count in EXAMPLES])
    test = load_scenes("test")
    questions(test)
    retrieval(test)
    videos()
    sounds()
    captioning(test)

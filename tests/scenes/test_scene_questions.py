"""Every question is read from its words alone and answered from the list of objects."""

import re
from collections import Counter, defaultdict
from functools import lru_cache

import numpy as np
import pytest

from mmbench.scenes.build import scene_text
from mmbench.scenes.questions import ANSWERS, CATEGORIES, TEMPLATES
from mmbench.scenes.world import HELD_OUT, PLURALS, SPLITS

CLEAR, UNCLEAR = 8, 4  # pixels: beyond the first it is so, below the second it is not
RELATIONS = "left of|right of|above|below"


@lru_cache
def first_scenes(split, count=1000):
    content = scene_text(split, np.arange(count))
    return list(zip(content["objects"], content["questions"], strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_every_answer_is_right_and_every_question_has_one(split):
    for objects, asked in first_scenes(split):
        for question in asked:
            assert answer(question.question, objects) == question.answer, (question, objects)


@pytest.mark.parametrize("split", SPLITS)
def test_no_question_is_asked_twice_of_a_scene(split):
    for _, asked in first_scenes(split):
        assert len({question.question for question in asked}) == len(asked)


def test_categories_and_answers_are_those_that_are_named():
    asked = [question for _, many in first_scenes("train") for question in many]
    assert {question.answer for question in asked} == set(ANSWERS)
    assert {question.template for question in asked} == set(TEMPLATES)
    shares = Counter(question.category for question in asked)
    assert set(shares) == set(CATEGORIES)
    assert min(shares.values()) > 0.15 * len(asked)
    assert max(shares.values()) < 0.25 * len(asked)
    assert 4.5 < len(asked) / 1000 < 5


def test_the_answers_of_each_template_come_equally_often():
    answers = defaultdict(Counter)
    for _, asked in first_scenes("train", 8000):
        for question in asked:
            answers[question.template][question.answer] += 1
    for template, counts in answers.items():
        total = counts.total()
        assert len(counts) == len(TEMPLATES[template][2])
        for count in counts.values():
            error = 3.5 * (total / len(counts)) ** 0.5  # of a count of this size by chance
            assert abs(count - total / len(counts)) < error + 0.1 * total / len(counts)


def test_the_question_alone_says_little_about_the_answer():
    """The commonest answer to the very question gains little over that to its template."""
    by_template, by_question = defaultdict(Counter), defaultdict(Counter)
    for _, asked in first_scenes("train", 8000):
        for question in asked:
            by_template[question.template][question.answer] += 1
            by_question[question.question][question.answer] += 1
    right = Counter()
    asked = [question for _, many in first_scenes("test") for question in many]
    for question in asked:
        usual = by_template[question.template]
        right["template"] += usual.most_common(1)[0][0] == question.answer
        known = by_question.get(question.question, usual)
        right["question"] += known.most_common(1)[0][0] == question.answer
    assert right["template"] / len(asked) < 0.40
    assert right["question"] / len(asked) < right["template"] / len(asked) + 0.03


def test_what_the_split_never_shows_is_not_asked_for():
    """Else 'is there a red star?' would always be no in training."""
    for split in ("train", "validation", "test"):
        for _, asked in first_scenes(split):
            for question in asked:
                words = question.question.rstrip("?").split()
                if question.template == "exists colour shape":
                    assert HELD_OUT[words[-2]] != words[-1]


def test_questions_do_not_depend_on_the_range():
    part = scene_text("train", np.arange(220, 225))["questions"]
    assert part == [asked for _, asked in first_scenes("train")[220:225]]


def answer(question, objects):
    """The one right answer; an AssertionError where the question has none or is not clear."""
    for pattern, find in READINGS:
        if match := re.fullmatch(pattern, question):
            return find(objects, *match.groups())
    raise AssertionError(f"cannot be read: {question}")


def such(objects, words):
    """The objects of a name: 'large red star', 'blue objects', 'crosses'."""
    singular = {plural: shape for shape, plural in PLURALS.items()} | {"objects": "object"}
    told = {singular.get(word, word) for word in words.split()} - {"object"}
    return [o for o in objects if told <= {o["shape"], o["colour"], o["size"]}]


def the(objects, words):
    (thing,) = such(objects, words)
    return thing


def by(relation, one, two):
    """Pixels by which one lies left of (or ...) the other."""
    along = "x" if relation in ("left of", "right of") else "y"
    distance = two[along] - one[along]
    return distance if relation in ("left of", "above") else -distance


def beside(objects, relation, words):
    """The objects left of (or ...) one; of every other it is clear whether it is among them."""
    anchor = the(objects, words)
    distances = [(other, by(relation, other, anchor)) for other in objects if other is not anchor]
    assert all(d >= CLEAR or d < UNCLEAR for _, d in distances)
    return [other for other, d in distances if d >= CLEAR]


def what_is_beside(objects, kind, relation, words):
    (thing,) = beside(objects, relation, words)
    return thing[kind]


def larger(objects, one, two):
    sizes = [the(objects, one)["size"], the(objects, two)["size"]]
    assert sorted(sizes) == ["large", "small"]
    return yes(sizes[0] == "large")


def related(objects, one, relation, two):
    distance = by(relation, the(objects, one), the(objects, two))
    assert abs(distance) >= CLEAR
    return yes(distance > 0)


def side(objects, one, two):
    """One side only: the other direction is at most half as far."""
    distances = {r: by(r, the(objects, two), the(objects, one)) for r in RELATIONS.split("|")}
    (relation,) = [r for r, d in distances.items() if d == max(distances.values())]
    across = [d for r, d in distances.items() if d >= 0 and r != relation]
    assert distances[relation] >= max(CLEAR, 2 * max(across))
    return relation.removesuffix(" of")


def yes(holds):
    return "yes" if holds else "no"


READINGS = [
    (rf"what (\w+) is the object ({RELATIONS}) the (.+)\?", what_is_beside),
    (r"what (\w+) is the (.+)\?", lambda objects, kind, name: the(objects, name)[kind]),
    (r"how many objects are there\?", lambda objects: str(len(objects))),
    (r"how many (.+) are there\?", lambda objects, name: str(len(such(objects, name)))),
    (
        rf"how many objects are ({RELATIONS}) the (.+)\?",
        lambda objects, relation, name: str(len(beside(objects, relation, name))),
    ),
    (
        r"are there more (.+) than (.+)\?",
        lambda objects, one, two: yes(len(such(objects, one)) > len(such(objects, two))),
    ),
    (
        r"do the (.+) and the (.+) have the same (\w+)\?",
        lambda objects, one, two, kind: yes(the(objects, one)[kind] == the(objects, two)[kind]),
    ),
    (r"is the (.+) larger than the (.+)\?", larger),
    (rf"is the (.+) ({RELATIONS}) the (.+)\?", related),
    (r"on which side of the (.+) is the (.+)\?", side),
    (r"is there an? (.+)\?", lambda objects, name: yes(such(objects, name))),
]

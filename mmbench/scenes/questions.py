"""Questions about a scene, balanced so that the question alone says little about the answer.

Each template first draws the answer it wants, and then looks for a question about the scene that
has this answer; where there is none it asks nothing. `_ODDS` weighs the answers by how seldom
scenes allow them, so that those of a template come out equally often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import NamedTuple

from mmbench.scenes.counter import Dice
from mmbench.scenes.facts import CLEAR, RELATIONS, holds
from mmbench.scenes.world import COLOURS, HELD_OUT, MOST, PLURALS, SHAPES, SIZES, SceneObject

CATEGORIES = ("attribute", "counting", "comparison", "spatial", "existence")
YES_NO = ("yes", "no")
SIDES = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
NUMBERS = tuple(str(number) for number in range(MOST + 1))
ANSWERS = (*YES_NO, *NUMBERS, *COLOURS, *SHAPES, *SIZES, *SIDES)

_VALUES = {"shape": SHAPES, "colour": COLOURS, "size": SIZES}
_NEARLY = CLEAR / 2  # pixels of 64: between this and CLEAR, people might not agree


class Question(NamedTuple):
    """A question, its answer, and what is asked."""

    question: str
    answer: str
    category: str
    template: str


class Asking:
    """A scene about which questions are asked.

    Attributes:
        objects: of the scene.
        count: by shape, colour and size, how many objects are of it.
    """

    def __init__(self, objects: Sequence[SceneObject]) -> None:
        self.objects = objects
        self.count = Counter(value for thing in objects for value in thing[:3])
        self._names: dict[str, list[tuple[SceneObject, str]]] = {}

    def names(self, hidden: str = "") -> list[tuple[SceneObject, str]]:
        """Every name that fits one object only, and does not tell its `hidden` attribute."""
        if hidden not in self._names:
            named = []
            for kinds in _NAMES[hidden]:
                names = [_name(kinds, thing) for thing in self.objects]
                named += [
                    (thing, name)
                    for thing, name in zip(self.objects, names, strict=True)
                    if names.count(name) == 1
                ]
            self._names[hidden] = named
        return self._names[hidden]

    def beside(self, relation: str, thing: SceneObject) -> list[SceneObject] | None:
        """The objects left of (or ...) one; None where it is not clear for each of the others."""
        found = []
        for other in self.objects:
            if other is thing:
                continue
            if holds(relation, other.x, other.y, thing.x, thing.y):
                found.append(other)
            elif holds(relation, other.x, other.y, thing.x, thing.y, _NEARLY):
                return None
        return found


def questions(objects: Sequence[SceneObject], dice: Dice) -> list[Question]:
    """The questions about a scene; about five, no two alike.

    Args:
        objects: one to four.
        dice: draws answers and questions.
    """
    asking = Asking(objects)
    asked: dict[str, Question] = {}
    for name, (category, template, odds) in TEMPLATES.items():
        answer = _wanted(odds, dice.below(1000))
        text = answer and template(asking, answer, dice)
        if answer and text and text not in asked:
            asked[text] = Question(text, answer, category, name)
    return list(asked.values())


def _wanted(odds: dict[str, int], draw: int) -> str | None:
    for answer, chance in odds.items():
        draw -= chance
        if draw < 0:
            return answer
    return None


def _name(kinds: Sequence[str], thing: SceneObject) -> str:
    """'large red star', 'red object'."""
    told = [getattr(thing, kind) for kind in kinds]
    return " ".join(told if kinds[-1] == "shape" else [*told, "object"])


def _some(kind: str, value: str) -> str:
    """'stars', 'red objects'."""
    return PLURALS[value] if kind == "shape" else f"{value} objects"


def _any(options: Sequence[str], dice: Dice) -> str | None:
    return dice.pick(options) if options else None


Template = Callable[[Asking, str, Dice], str | None]


def _attribute(kind: str) -> Template:
    def ask(scene: Asking, answer: str, dice: Dice) -> str | None:
        names = [name for thing, name in scene.names(kind) if getattr(thing, kind) == answer]
        return _any([f"what {kind} is the {name}?" for name in names], dice)

    return ask


def _count_all(scene: Asking, answer: str, dice: Dice) -> str | None:
    return "how many objects are there?" if len(scene.objects) == int(answer) else None


def _count(kind: str) -> Template:
    def ask(scene: Asking, answer: str, dice: Dice) -> str | None:
        values = [v for v in _VALUES[kind] if scene.count[v] == int(answer)]
        return _any([f"how many {_some(kind, value)} are there?" for value in values], dice)

    return ask


def _count_beside(scene: Asking, answer: str, dice: Dice) -> str | None:
    relation = dice.pick(RELATIONS)
    asked = []
    for thing, name in scene.names():
        found = scene.beside(relation, thing)
        if found is not None and len(found) == int(answer):
            asked.append(f"how many objects are {relation} the {name}?")
    return _any(asked, dice)


def _more(kind: str) -> Template:
    def ask(scene: Asking, answer: str, dice: Dice) -> str | None:
        asked = []
        for one, two in permutations(_VALUES[kind], 2):
            more, fewer = scene.count[one], scene.count[two]
            if more > fewer:
                first, second = (one, two) if answer == "yes" else (two, one)
                text = f"are there more {_some(kind, first)} than {_some(kind, second)}?"
                asked += [text] * (4 if fewer else 1)  # an absent kind makes it easy
        return _any(asked, dice)

    return ask


def _same(kind: str) -> Template:
    def ask(scene: Asking, answer: str, dice: Dice) -> str | None:
        asked = [
            f"do the {one} and the {two} have the same {kind}?"
            for (a, one), (b, two) in permutations(scene.names(kind), 2)
            if a is not b and (getattr(a, kind) == getattr(b, kind)) == (answer == "yes")
        ]
        return _any(asked, dice)

    return ask


def _larger(scene: Asking, answer: str, dice: Dice) -> str | None:
    larger, smaller = ("large", "small") if answer == "yes" else ("small", "large")
    asked = [
        f"is the {one} larger than the {two}?"
        for (a, one), (b, two) in permutations(scene.names("size"), 2)
        if a.size == larger and b.size == smaller
    ]
    return _any(asked, dice)


def _relation(scene: Asking, answer: str, dice: Dice) -> str | None:
    relation = dice.pick(RELATIONS)
    asked = []
    for (a, one), (b, two) in permutations(scene.names(), 2):
        first, second = (a, b) if answer == "yes" else (b, a)
        if holds(relation, first.x, first.y, second.x, second.y):
            asked.append(f"is the {one} {relation} the {two}?")
    return _any(asked, dice)


def _side(scene: Asking, answer: str, dice: Dice) -> str | None:
    asked = []
    for (a, one), (b, two) in permutations(scene.names(), 2):
        along, aside = abs(a.x - b.x), abs(a.y - b.y)
        if answer in ("above", "below"):
            along, aside = aside, along
        if along >= 2 * aside and holds(SIDES[answer], a.x, a.y, b.x, b.y):
            asked.append(f"on which side of the {two} is the {one}?")
    return _any(asked, dice)


def _beside(kind: str) -> Template:
    def ask(scene: Asking, answer: str, dice: Dice) -> str | None:
        relation = dice.pick(RELATIONS)
        asked = []
        for thing, name in scene.names():
            found = scene.beside(relation, thing)
            if found and len(found) == 1 and getattr(found[0], kind) == answer:
                asked.append(f"what {kind} is the object {relation} the {name}?")
        return _any(asked, dice)

    return ask


def _exists(*kinds: str) -> Template:
    def ask(scene: Asking, answer: str, dice: Dice) -> str | None:
        there = {_name(kinds, thing) for thing in scene.objects}
        names = there if answer == "yes" else _nearly(scene, kinds) - there
        name = _any(sorted(names), dice)
        return name and f"is there {'an' if name.startswith('orange') else 'a'} {name}?"

    return ask


def _nearly(scene: Asking, kinds: Sequence[str]) -> set[str]:
    """Names of what there could be: an object of the scene, but for one of its attributes.

    A combination that the split holds out is not such a name, or it would always be missing.
    """
    names = set()
    compositional = any(HELD_OUT[thing.colour] == thing.shape for thing in scene.objects)
    for thing in scene.objects:
        for kind in kinds:
            for value in _VALUES[kind]:
                other = thing._replace(**{kind: value})  # type: ignore[arg-type]
                known = set(kinds) != {"colour", "shape"} or HELD_OUT[other.colour] != other.shape
                if compositional or known:
                    names.add(_name(kinds, other))
    return names


# By hidden attribute, what may be told of an object.
_NAMES = {
    "": (("shape",), ("colour",), ("size", "shape"), ("size", "colour"), ("colour", "shape")),
    "colour": (("shape",), ("size", "shape"), ("size",)),
    "shape": (("colour",), ("size", "colour"), ("size",)),
    "size": (("shape",), ("colour",), ("colour", "shape")),
}


def _equal(answers: Sequence[str], chance: int) -> dict[str, int]:
    return dict.fromkeys(answers, chance)


def _odds(answers: Sequence[str], *chances: int) -> dict[str, int]:
    return dict(zip(answers, chances, strict=True))


# The chance in 1000 that a template wants an answer of a scene: where some answers are seldom
# possible, inversely to the share of the scenes of `train` in which they are.
TEMPLATES: dict[str, tuple[str, Template, dict[str, int]]] = {
    "colour": ("attribute", _attribute("colour"), _equal(COLOURS, 125)),
    "shape": ("attribute", _attribute("shape"), _odds(SHAPES, 200, 163, 201, 199, 165)),
    "size": ("attribute", _attribute("size"), _equal(SIZES, 250)),
    "count all": ("counting", _count_all, _odds(NUMBERS[1:], 602, 159, 128, 107)),
    "count colour": ("counting", _count("colour"), _odds(NUMBERS, 36, 48, 121, 296, 488)),
    "count shape": ("counting", _count("shape"), _odds(NUMBERS, 40, 57, 101, 304, 462)),
    "count size": ("counting", _count("size"), _odds(NUMBERS, 81, 34, 42, 90, 740)),
    "count beside": ("counting", _count_beside, _odds(NUMBERS[:-1], 75, 133, 137, 521)),
    "more by colour": ("comparison", _more("colour"), _equal(YES_NO, 100)),
    "more by shape": ("comparison", _more("shape"), _equal(YES_NO, 100)),
    "same colour": ("comparison", _same("colour"), _odds(YES_NO, 260, 241)),
    "same shape": ("comparison", _same("shape"), _odds(YES_NO, 213, 236)),
    "larger": ("comparison", _larger, _equal(YES_NO, 250)),
    "relation": ("spatial", _relation, _equal(YES_NO, 200)),
    "side": ("spatial", _side, _equal(list(SIDES), 150)),
    "colour beside": ("spatial", _beside("colour"), _equal(COLOURS, 125)),
    "shape beside": ("spatial", _beside("shape"), _odds(SHAPES, 192, 146, 186, 187, 149)),
    "exists shape": ("existence", _exists("shape"), _equal(YES_NO, 75)),
    "exists colour": ("existence", _exists("colour"), _equal(YES_NO, 75)),
    "exists colour shape": ("existence", _exists("colour", "shape"), _equal(YES_NO, 150)),
    "exists size shape": ("existence", _exists("size", "shape"), _equal(YES_NO, 75)),
    "exists size colour": ("existence", _exists("size", "colour"), _equal(YES_NO, 75)),
}

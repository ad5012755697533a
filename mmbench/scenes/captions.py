"""Five captions of a scene, each another way of telling it, each with its meaning.

A caption's form fixes the sentence; the order of the objects, the choice of words and (of three or
four objects) whose size is told are drawn. Every caption mentions every object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmbench.scenes.counter import Dice
from mmbench.scenes.facts import Claims, Mention, main_relation, place
from mmbench.scenes.world import PLURALS, SceneObject

CAPTIONS = 5

_NUMBERS = ("no", "one", "two", "three", "four")
_SIZES = {"large": ("large", "big"), "small": ("small", "little")}
_BETWEEN = {  # "a star is ... a circle"
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
_FROM_IT = {  # "a circle with a star ..."
    "left of": ("to its left", "on its left"),
    "right of": ("to its right", "on its right"),
    "above": ("above it", "over it"),
    "below": ("below it", "under it"),
}
_PLACES = {
    "top left": ("in the top left", "in the upper left"),
    "top": ("at the top", "near the top"),
    "top right": ("in the top right", "in the upper right"),
    "left": ("on the left", "on the left side"),
    "middle": ("in the middle", "in the centre"),
    "right": ("on the right", "on the right side"),
    "bottom left": ("in the bottom left", "in the lower left"),
    "bottom": ("at the bottom", "near the bottom"),
    "bottom right": ("in the bottom right", "in the lower right"),
}


class Caption(NamedTuple):
    """A sentence and what it claims."""

    text: str
    claims: Claims


class Telling:
    """One caption in the making: turns objects into words and notes what is thereby claimed.

    Args:
        objects: of the scene.
        dice: draws the words.
        common: what the caption says of all objects at once, for example {"colour": "red"}; it is
            not repeated for each.
    """

    def __init__(
        self, objects: Sequence[SceneObject], dice: Dice, common: Mention | None = None
    ) -> None:
        self.common = common or {}
        self._objects = objects
        self._dice = dice
        self._mentions: dict[SceneObject, Mention] = {}
        self._relations: list[tuple[SceneObject, str, SceneObject]] = []
        self._count: int | None = None

    def a(self, thing: SceneObject) -> str:
        """'a large red circle'; of three or four objects, some go without their size.

        Where only the size tells two objects apart, it is told.
        """
        mention = self._mention(thing)
        words = ["a"]
        twins = sum(o.shape == thing.shape and o.colour == thing.colour for o in self._objects) > 1
        if len(self._objects) < 3 or self._dice.below(4) or twins:
            mention["size"] = thing.size
            words.append(self._dice.pick(_SIZES[thing.size]))
        if "colour" not in self.common:
            mention["colour"] = thing.colour
            words.append(thing.colour)
        if "shape" not in self.common:
            mention["shape"] = thing.shape
        words.append("one" if "shape" in self.common else thing.shape)
        if words[1] == "orange":
            words[0] = "an"
        return " ".join(words)

    def the(self, thing: SceneObject) -> str:
        """'the circle', with as much besides as tells it from the other objects."""
        mention = self._mention(thing)
        noun = "one" if "shape" in self.common else thing.shape
        for kinds in (
            ["shape"],
            ["shape", "colour"],
            ["shape", "size"],
            ["shape", "size", "colour"],
        ):
            told = [kind for kind in kinds if kind not in self.common]
            same = [
                o for o in self._objects if all(getattr(o, k) == getattr(thing, k) for k in told)
            ]
            if told and len(same) == 1:
                break
        for kind in told:
            mention[kind] = getattr(thing, kind)  # type: ignore[literal-required]
        return " ".join(["the", *(getattr(thing, k) for k in told if k != "shape"), noun])

    def relation(self, first: SceneObject, second: SceneObject, short: bool = False) -> str:
        """'to the left of' or another relation that holds between the two."""
        name = self._relate(first, second)
        return name if short else self._dice.pick(_BETWEEN[name])

    def from_it(self, first: SceneObject, second: SceneObject) -> str:
        """'on its left': where the first is, seen from the second."""
        return self._dice.pick(_FROM_IT[self._relate(first, second)])

    def place(self, thing: SceneObject) -> str:
        """'in the top left'."""
        mention = self._mention(thing)
        mention["place"] = place(thing.x, thing.y)
        return self._dice.pick(_PLACES[mention["place"]])

    def count(self) -> str:
        """'three': how many objects there are."""
        self._count = len(self._objects)
        return _NUMBERS[self._count]

    def pick(self, *words: str) -> str:
        """One of several ways to say the same."""
        return self._dice.pick(words)

    def claims(self) -> Claims:
        """All that was claimed so far."""
        number = {thing: place for place, thing in enumerate(self._mentions)}
        return {
            "objects": list(self._mentions.values()),
            "relations": [(number[a], name, number[b]) for a, name, b in self._relations],
            "count": self._count,
        }

    def _mention(self, thing: SceneObject) -> Mention:
        return self._mentions.setdefault(thing, self.common.copy())

    def _relate(self, first: SceneObject, second: SceneObject) -> str:
        name = main_relation(first, second)
        self._relations.append((first, name, second))
        return name


Objects = Sequence[SceneObject]
Form = Callable[[Telling, Objects], str]


def captions(objects: Objects, dice: Dice) -> list[Caption]:
    """Five captions of a scene, no two alike.

    Args:
        objects: one to four.
        dice: draws forms, orders and words.
    """
    forms: list[tuple[Form, Mention]] = [(form, {}) for form in _FORMS[len(objects)]]
    forms += [(_alike, common) for common in _in_common(objects)]
    told = []
    for form, common in dice.shuffled(forms)[:CAPTIONS]:
        telling = Telling(objects, dice, common)
        text = form(telling, dice.shuffled(objects))
        told.append(Caption(text, telling.claims()))
    return told


def _in_common(objects: Objects) -> list[Mention]:
    """What can be said of all of several objects at once: their shape, their colour."""
    common: list[Mention] = []
    if len(objects) > 1 and len({o.shape for o in objects}) == 1:
        common.append({"shape": objects[0].shape})
    if len(objects) > 1 and len({o.colour for o in objects}) == 1:
        common.append({"colour": objects[0].colour})
    return common


def _shown(t: Telling, o: Objects) -> str:
    return f"{t.pick('the picture shows', 'you can see')} {t.a(o[0])} {t.place(o[0])}"


def _only(t: Telling, o: Objects) -> str:
    t.count()
    return f"the only {t.pick('object', 'shape')} is {t.a(o[0])} {t.place(o[0])}"


def _nothing_else(t: Telling, o: Objects) -> str:
    t.count()
    return f"{t.place(o[0])} there is {t.a(o[0])} and nothing else"


def _just_one(t: Telling, o: Objects) -> str:
    thing = t.pick("object", "shape")
    return f"there is {t.count()} {thing} {t.place(o[0])} and it is {t.a(o[0])}"


def _plain(t: Telling, o: Objects) -> str:
    return f"{t.a(o[0])} {t.place(o[0])} of {t.pick('the picture', 'the image')}"


def _anchor(t: Telling, thing: SceneObject, o: Objects) -> str:
    """What others lie beside; of two objects with its place, or many pictures would fit."""
    return f"{t.a(thing)} {t.place(thing)}" if len(o) == 2 else t.a(thing)


def _joined(t: Telling, o: Objects, verb: str = " is") -> str:
    """Relations between pairs: 'a is left of b and c is above b'."""
    short = len(o) > 2
    text = f"{_anchor(t, o[0], o)}{verb} {t.relation(o[0], o[1], short)} {t.a(o[1])}"
    if len(o) == 3:
        text += f" and {t.a(o[2])}{verb} {t.relation(o[2], o[1], short)} {t.the(o[1])}"
    if len(o) == 4:
        text += f" and {t.a(o[2])}{verb} {t.relation(o[2], o[3], short)} {t.a(o[3])}"
    return text


def _counted(t: Telling, o: Objects) -> str:
    return f"of the {t.count()} {t.pick('objects', 'shapes')} {_joined(t, o)}"


def _alike(t: Telling, o: Objects) -> str:
    number = t.count()
    common = t.common.get("colour") or PLURALS[t.common["shape"]]
    every = "both" if len(o) == 2 else f"all {number}"
    return f"{every} {t.pick('objects', 'shapes')} are {common} with {_joined(t, o, ' that is')}"


def _around(t: Telling, o: Objects) -> str:
    """One object and where the others lie, seen from it."""
    text = _anchor(t, o[0], o)
    others = [f"{t.a(other)} {t.from_it(other, o[0])}" for other in o[1:]]
    return f"{text} with {' and '.join(others)}"


def _anchored(t: Telling, o: Objects) -> str:
    """One object's relations to all others."""
    short = len(o) > 3
    text = t.a(o[0])
    others = [f"{t.relation(o[0], other, short)} {t.a(other)}" for other in o[1:]]
    return f"{text} is {' and '.join(others)}"


def _inverted(t: Telling, o: Objects) -> str:
    """Where first, then what: 'to the left of b there is a'."""
    text = f"{t.relation(o[0], o[1])} {_anchor(t, o[1], o)} there is {t.a(o[0])}"
    if len(o) == 3:
        text += f" and {t.relation(o[2], o[1], True)} {t.the(o[1])} there is {t.a(o[2])}"
    return text


def _chained(t: Telling, o: Objects) -> str:
    """Each object's relation to the next."""
    text = f"{t.a(o[0])} is {t.relation(o[0], o[1], True)} {t.a(o[1])}"
    text += f" which is {t.relation(o[1], o[2], True)} {t.a(o[2])}"
    return text if len(o) == 3 else f"{text} and there is {t.a(o[3])}"


def _pictured(t: Telling, o: Objects) -> str:
    """'the picture shows a and b', and a relation."""
    text = f"{t.pick('the picture shows', 'you can see')} {_anchor(t, o[0], o)} and"
    if len(o) == 2:
        return f"{text} {t.from_it(o[1], o[0])} {t.a(o[1])}"
    if len(o) == 3:
        return f"{text} {t.a(o[1])} with {t.a(o[2])} {t.relation(o[2], o[1])} {t.the(o[1])}"
    return f"{text} {t.a(o[1])} as well as {t.a(o[2])} {t.relation(o[2], o[3])} {t.a(o[3])}"


def _placed(t: Telling, o: Objects) -> str:
    """Objects by their place in the picture; of four, two."""
    located = [f"{t.a(thing)} {t.place(thing)}" for thing in (o if len(o) < 4 else o[:2])]
    text = " and ".join(located)
    return text if len(o) < 4 else f"{text} as well as {t.a(o[2])} and {t.a(o[3])}"


_FORMS: dict[int, tuple[Form, ...]] = {
    1: (_shown, _only, _nothing_else, _just_one, _plain),
    2: (_joined, _counted, _around, _inverted, _pictured, _placed),
    3: (_joined, _counted, _around, _inverted, _pictured, _placed, _anchored, _chained),
    4: (_joined, _counted, _around, _pictured, _placed, _anchored, _chained),
}

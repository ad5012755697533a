"""What is true of a scene, and how many of a caption's claims a list of objects bears out.

Every caption keeps its meaning beside its words, as `Claims`. A recogniser that reads a picture
back into objects is scored with `check`; nothing is parsed from text. Facts and claims are plain
dictionaries and lists, so that they can be stored as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import TypedDict

from mmbench.scenes.world import SceneObject

RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
KINDS = ("shape", "colour", "size", "place", "relation", "count")

MOST_CHECKED = 8  # objects that `check` takes
CLEAR = 8.0  # pixels of 64 by which one centre must lie beyond another for a relation to hold
_FIRST, _LAST = 26.0, 38.0  # pixels of 64: where the middle third begins and ends


class ObjectFact(TypedDict):
    """An object of a scene; x and y are its centre in pixels of 64, from the top left."""

    shape: str
    colour: str
    size: str
    x: float
    y: float


class Mention(TypedDict, total=False):
    """What a caption says of one object; what it leaves open is left out."""

    shape: str
    colour: str
    size: str
    place: str


class Claims(TypedDict):
    """What a caption says.

    Keys:
        objects: the different objects that it mentions, in this order.
        relations: [first, relation, second], by place in `objects`.
        count: how many objects it says there are; None where it does not say.
    """

    objects: list[Mention]
    relations: list[tuple[int, str, int]]
    count: int | None


def object_facts(objects: Sequence[SceneObject]) -> list[ObjectFact]:
    """The objects as plain dictionaries."""
    return [
        {"shape": o.shape, "colour": o.colour, "size": o.size, "x": o.x, "y": o.y} for o in objects
    ]


def place(x: float, y: float) -> str:
    """Which ninth of the picture a centre lies in: 'top left', 'top', ..., 'middle', ...

    >>> place(10, 60), place(32, 5), place(32, 32)
    ('bottom left', 'top', 'middle')
    """
    row = "top" if y < _FIRST else "bottom" if y > _LAST else ""
    column = "left" if x < _FIRST else "right" if x > _LAST else ""
    return f"{row} {column}".strip() or "middle"


def holds(relation: str, x1: float, y1: float, x2: float, y2: float, least: float = CLEAR) -> bool:
    """Whether the first centre is left of (right of, above, below) the second by `least` pixels.

    >>> holds("left of", 10, 10, 30, 40), holds("left of", 10, 10, 15, 40)
    (True, False)
    """
    if relation in ("left of", "above"):
        return (x2 - x1 if relation == "left of" else y2 - y1) >= least
    return (x1 - x2 if relation == "right of" else y1 - y2) >= least


def main_relation(first: SceneObject, second: SceneObject) -> str:
    """The relation along the axis on which the two lie further apart; it always holds."""
    dx, dy = second.x - first.x, second.y - first.y
    if abs(dx) >= abs(dy):
        return "left of" if dx > 0 else "right of"
    return "above" if dy > 0 else "below"


def check(claims: Claims, objects: Sequence[ObjectFact]) -> dict[str, tuple[int, int]]:
    """How many claims of each kind the objects bear out.

    Mentions are matched to different objects so that as many claims as possible hold, as a lenient
    reader would.

    Args:
        claims: of one caption.
        objects: what there is, or what a recogniser found. At most 8.
    Returns: by kind (shape, colour, size, place, relation, count), claims borne out and claims
        made; kinds of which nothing is claimed are left out.
    Raises: ValueError for more than 8 objects.

    >>> claims = {"objects": [{"shape": "star", "colour": "red"}], "relations": [], "count": 1}
    >>> check(claims, [{"shape": "star", "colour": "blue", "size": "large", "x": 9, "y": 9}])
    {'shape': (1, 1), 'colour': (0, 1), 'count': (1, 1)}
    """
    if len(objects) > MOST_CHECKED:
        raise ValueError(f"at most {MOST_CHECKED} objects can be checked, got {len(objects)}")
    mentions = claims["objects"]
    missing = [None] * (len(mentions) - len(objects))  # where more is mentioned than there is
    best: dict[str, int] = {}
    for matched in permutations([*objects, *missing], len(mentions)):
        found = _found(claims, matched)
        if not best or sum(found.values()) > sum(best.values()):
            best = found
    made = {kind: sum(kind in mention for mention in mentions) for kind in KINDS}
    made["relation"] = len(claims["relations"])
    made["count"] = int(claims["count"] is not None)
    best["count"] = int(claims["count"] == len(objects))
    return {kind: (best[kind], made[kind]) for kind in KINDS if made[kind]}


def _found(claims: Claims, matched: Sequence[ObjectFact | None]) -> dict[str, int]:
    """Claims borne out by kind, given the object that each mention stands for, if any."""
    found = dict.fromkeys(KINDS, 0)
    for mention, thing in zip(claims["objects"], matched, strict=True):
        if thing is not None:
            seen = thing | {"place": place(thing["x"], thing["y"])}
            for kind, value in mention.items():
                found[kind] += seen[kind] == value
    for first, relation, second in claims["relations"]:
        one, two = matched[first], matched[second]
        if one is not None and two is not None:
            found["relation"] += holds(relation, one["x"], one["y"], two["x"], two["y"])
    return found

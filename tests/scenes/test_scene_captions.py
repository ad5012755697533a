"""Captions are read back from their words alone and compared with their claims and the scene."""

import re
from functools import lru_cache

import numpy as np
import pytest

from mmbench.scenes.build import scene_text
from mmbench.scenes.facts import check, holds, place
from mmbench.scenes.world import COLOURS, PLURALS, SHAPES, SPLITS

SIZES = {"large": "large", "big": "large", "small": "small", "little": "small"}
THING = re.compile(
    rf"\b(an?|the) (?:({'|'.join(SIZES)}) )?(?:({'|'.join(COLOURS)}) )?({'|'.join(SHAPES)}|one)\b"
)
RELATION = re.compile(r"\b(?:to the )?(left of|right of|above|below|over|under)\b(?! it)")
FROM_IT = re.compile(r"\b(?:(?:to|on) its (left|right)|(above|below|over|under) it)\b")
MEANS = {"over": "above", "under": "below", "left": "left of", "right": "right of"}
PLACE = re.compile(
    r"\b(?:in the (top|upper|bottom|lower) (left|right)|on the (left|right)(?: side)?"
    r"|(?:at|near) the (top|bottom)|in the (middle|centre))\b"
)
ROWS = {"upper": "top", "lower": "bottom", "centre": "middle"}
COUNT = re.compile(
    r"^of the (two|three|four) (?:objects|shapes)|^(both|all three|all four) (?:objects|shapes) are"
    r"|^the (only) (?:object|shape)|(nothing else)$|^there is (one) (?:object|shape)"
)
COMMON = re.compile(rf" are ({'|'.join([*COLOURS, *PLURALS.values()])}) with ")


@lru_cache
def first_scenes(split):
    return scene_text(split, np.arange(400))


def scenes(split):
    content = first_scenes(split)
    return zip(content["objects"], content["texts"], content["claims"], strict=True)


@pytest.mark.parametrize("split", SPLITS)
def test_each_scene_has_five_different_captions(split):
    for _, texts, claims in scenes(split):
        assert len(texts) == len(set(texts)) == len(claims) == 5


@pytest.mark.parametrize("split", SPLITS)
def test_the_scene_bears_out_every_claim(split):
    for objects, _, claims in scenes(split):
        for claim in claims:
            assert len(claim["objects"]) == len(objects)
            for kind, (found, made) in check(claim, objects).items():
                assert found == made, kind


@pytest.mark.parametrize("split", SPLITS)
def test_every_relation_told_is_clear_by_more_than_the_margin(split):
    for objects, _, claims in scenes(split):
        for claim in claims:
            for first, relation, second in claim["relations"]:
                assert any(
                    holds(relation, one["x"], one["y"], two["x"], two["y"], least=15)
                    for one in fitting(claim["objects"][first], objects)
                    for two in fitting(claim["objects"][second], objects)
                )


@pytest.mark.parametrize("split", SPLITS)
def test_the_words_say_what_the_claims_say(split):
    for _, texts, claims in scenes(split):
        for text, claim in zip(texts, claims, strict=True):
            mentions, relations = read(text)
            assert relations == [tuple(relation) for relation in claim["relations"]], text
            assert mentions == claim["objects"], text
            numbers = [group for match in COUNT.finditer(text) for group in match.groups() if group]
            assert bool(numbers) == (claim["count"] is not None), text
            for word in numbers:
                counts = {"two": 2, "both": 2, "three": 3, "four": 4}
                assert counts.get(word.split()[-1], 1) == claim["count"]


def test_a_size_is_told_where_nothing_else_tells_two_objects_apart():
    for objects, _, claims in scenes("train"):
        kinds = [(thing["colour"], thing["shape"]) for thing in objects]
        for claim in claims:
            for mention in claim["objects"]:
                twins = kinds.count((mention["colour"], mention["shape"])) > 1
                assert "size" in mention or not twins


def test_captions_do_not_depend_on_the_range():
    part = scene_text("train", np.arange(120, 125))
    for name, values in part.items():
        assert values == first_scenes("train")[name][120:125]


def test_check_counts_what_a_picture_gets_wrong():
    red = {"shape": "star", "colour": "red", "size": "large", "x": 10.0, "y": 10.0}
    blue = {"shape": "cross", "colour": "blue", "size": "small", "x": 40.0, "y": 12.0}
    claims = {
        "objects": [
            {"shape": "star", "colour": "red", "place": "top left"},
            {"shape": "cross", "colour": "blue", "size": "small"},
        ],
        "relations": [[0, "left of", 1]],
        "count": 2,
    }
    right = {"shape": (2, 2), "colour": (2, 2), "size": (1, 1), "place": (1, 1)}
    right |= {"relation": (1, 1), "count": (1, 1)}
    assert check(claims, [red, blue]) == right
    assert check(claims, [blue, red]) == right
    # The colours changed hands: either both colours are wrong, or all else is.
    swapped = [red | {"colour": "blue"}, blue | {"colour": "red"}]
    assert check(claims, swapped) == right | {"colour": (0, 2)}
    assert check(claims, [red]) == {
        **{"shape": (1, 2), "colour": (1, 2), "size": (0, 1), "place": (1, 1)},
        **{"relation": (0, 1), "count": (0, 1)},
    }
    assert check(claims, [])["shape"] == (0, 2)
    nearly = [red, blue | {"x": 17.0, "y": 40.0}]
    assert check(claims, nearly)["relation"] == (0, 1)
    with pytest.raises(ValueError, match="at most 8 objects"):
        check(claims, [red] * 9)


def fitting(mention, objects):
    return [
        thing
        for thing in objects
        if all(
            (thing | {"place": place(thing["x"], thing["y"])})[k] == v for k, v in mention.items()
        )
    ]


def read(text):
    """What a caption says of its objects, and [first, relation, second], by its words alone."""
    common = {}
    if match := COMMON.search(text):
        word = match[1]
        singular = {plural: shape for shape, plural in PLURALS.items()}
        common = {"shape": singular[word]} if word in singular else {"colour": word}
    tokens, mentions = [], []
    pattern = "|".join(f"({p.pattern})" for p in (FROM_IT, PLACE, THING, RELATION))
    pattern += r"|(\band\b|\bwhich is\b|\bthat is\b|\bthere is\b|\bwith\b)"
    for match in re.finditer(pattern, text):
        words = match[0]
        if PLACE.fullmatch(words):
            groups = [ROWS.get(group, group) for group in PLACE.fullmatch(words).groups() if group]
            where = " ".join(groups)
            if mentions:
                mentions[-1]["place"] = where
            else:
                common["place"] = where  # told before the object, which is the only one
        elif FROM_IT.fullmatch(words):
            word = next(group for group in FROM_IT.fullmatch(words).groups() if group)
            tokens.append(("from it", MEANS.get(word, word)))
        elif thing := THING.fullmatch(words):
            article, size, colour, shape = thing.groups()
            told = {"size": SIZES.get(size), "colour": colour, "shape": shape}
            told = {k: v for k, v in told.items() if v and v != "one"}
            if article == "the":
                number = meant(told, mentions)
                mentions[number] |= told
            else:
                number = len(mentions)
                mentions.append(common | told)
            tokens.append(("thing", number))
        elif relation := RELATION.fullmatch(words):
            tokens.append(("relation", MEANS.get(relation[1], relation[1])))
        else:
            tokens.append(("word", words))
    return mentions, relations_of(tokens)


def meant(told, mentions):
    """Which of the mentions so far 'the small star' is: one that says so, else one that may be."""
    says = [i for i, m in enumerate(mentions) if told.items() <= m.items()]
    may_be = [i for i, m in enumerate(mentions) if all(m.get(k, v) == v for k, v in told.items())]
    (number,) = says or may_be
    return number


def relations_of(tokens):
    """Who is related to whom, from things, relations and joining words in the caption's order."""
    relations = []
    for i, (kind, name) in enumerate(tokens):
        before = tokens[i - 1] if i else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if kind == "from it":  # "b on its left", or "and on its left b"
            other = after if before == ("word", "and") else before
            relations.append((other[1], name, 0))
        elif kind == "relation" and len(tokens) > i + 2 and tokens[i + 2] == ("word", "there is"):
            relations.append((tokens[i + 3][1], name, after[1]))
        elif kind == "relation" and before == ("word", "and"):  # "a is left of b and above c"
            relations.append((relations[-1][0], name, after[1]))
        elif kind == "relation":  # "a left of b", "b which is left of c"
            subject = tokens[i - 2] if before[0] == "word" else before
            relations.append((subject[1], name, after[1]))
    return relations

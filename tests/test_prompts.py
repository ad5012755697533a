"""How models from elsewhere are asked, and how their answers are read."""

import pytest

from mmbench.errors import MMBenchError
from mmbench.prompts import Prompt
from mmbench.yaml_file import validate

CHOICES = {"text": "Which?", "choices": ("a cat", "a dog"), "image": object()}


def test_a_prompt_holds_the_question_its_choices_and_what_it_is_about():
    prompt = Prompt(text="{text}\n{choices}\nLook at the {medium}.")
    assert prompt.asks(CHOICES) == "Which?\nA. a cat\nB. a dog\nLook at the image."
    assert Prompt(text="{text}").asks({"text": "{choices}?"}) == "{choices}?"


@pytest.mark.parametrize(
    ("reads", "written", "answer"),
    [
        ("text", " Two\nlines. ", "Two\nlines."),
        ("line", " A dog.\nMore", "A dog."),
        ("answer", '"Yes."\nsince', "yes"),
        ("answer", "**No**", "no"),
        ("answer", "", ""),
        ("choice", "B", "a dog"),
        ("choice", "(b) since it barks", "a dog"),
        ("choice", "A dog.", "a dog"),
        ("choice", "It must be a cat.", "a cat"),
        ("choice", "Answer: b", "a dog"),
        ("choice", "a dog barks", "a dog"),
        ("choice", "a cat or a dog", "a cat or a dog"),
        ("choice", "neither", "neither"),
        (r"pattern [Aa]nswer: (\w+)", "Answer: one. No, answer: two.", "two"),
        (r"pattern [Aa]nswer: (\w+)", "none", "none"),
    ],
)
def test_an_answer_is_read_off_what_was_written(reads, written, answer):
    assert Prompt(text="{text}", reads=reads).read(written, CHOICES) == answer


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"text": "{question}"}, "has no place {question}"),
        ({"text": "x", "reads": "chioce"}, "Did you mean choice"),
        ({"text": "x", "reads": "pattern ("}, "no regular expression"),
        ({"text": "x", "reads": "pattern x"}, "needs a group"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(settings, says):
    with pytest.raises(MMBenchError, match=says):
        validate(Prompt, settings, "prompt")

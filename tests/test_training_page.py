"""docs/training.md is what its command makes, and `mmbench show train` says all that there is."""

import re

import pytest

from docs.make_training import PAGE, page
from mmbench.cli.show import show_text
from mmbench.cli.training_settings import entries, sections
from mmbench.errors import MMBenchError
from mmbench.optimizers import OPTIMIZERS
from mmbench.recipe import Train


def test_the_page_is_what_its_command_makes():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python docs/make_training.py`"


@pytest.mark.parametrize("kind", [Train, *OPTIMIZERS.values()])
def test_every_setting_is_described_and_nothing_else_is(kind):
    about = entries(kind, "Attributes")
    assert list(about) == list(kind.model_fields)
    assert all(len(words) > 15 for words in about.values())


def test_show_train_has_every_setting_with_its_default_and_what_is_not_supported():
    text = show_text("train")
    for section in sections():
        for row in section.rows:
            assert re.search(rf"^  {re.escape(row.key)} +{re.escape(row.default)}", text, re.M)
    assert "not supported" in text
    assert max(map(len, text.splitlines())) <= 100


def test_training_is_shown_for_nothing():
    with pytest.raises(MMBenchError, match="drop task= vqa"):
        show_text("train", task="vqa")

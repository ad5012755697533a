"""What a recipe's options of a part may be, and what is said of those that cannot be."""

import pytest

from mmbench.errors import MMBenchError
from mmbench.zoo.part import build_part


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("vit", {"lora": {"rank": "many"}}, "vit.lora.rank must be a valid integer, got 'many'"),
        ("vit", {"lora": 8}, "vit.lora must be an object, got 8"),
        ("conv", {"channels": [8, "x"]}, "conv.channels.1 must be a valid integer, got 'x'"),
        ("vit", {"unfreeze": 2}, "vit.unfreeze must be a valid string, got 2"),
    ],
)
def test_a_wrong_option_is_named_down_to_the_value_that_is_wrong(name, options, says):
    with pytest.raises(MMBenchError) as raised:
        build_part("encoders", name, options, dim=8)
    assert str(raised.value) == says


def test_a_part_that_lacks_what_it_needs_names_the_list_to_choose_from():
    with pytest.raises(MMBenchError, match=r"rnn cannot stand here.*vocabulary.*list decoders"):
        build_part("decoders", "rnn", {}, dim=8)

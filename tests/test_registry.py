import pytest

from mmbench import registry
from mmbench.errors import MMBenchError


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(MMBenchError) as error:
        registry.path("recipes", "gated_fuson")
    count = len(registry.names("recipes"))
    assert str(error.value) == (
        "no model called 'gated_fuson'. Did you mean gated_fusion? "
        f"`mmbench list models` shows all {count}."
    )


@pytest.mark.parametrize("kind", registry.CODE_KINDS)
def test_everything_registered_loads_and_has_a_summary(kind):
    assert registry.names(kind)
    for name in registry.names(kind):
        assert callable(registry.load(kind, name))
        assert registry.summary(kind, name)


@pytest.mark.parametrize("kind", registry.FILE_KINDS)
def test_every_file_has_a_summary(kind):
    assert registry.names(kind)
    for name in registry.names(kind):
        assert registry.summary(kind, name)


def test_a_file_of_ones_own_must_exist(tmp_path):
    with pytest.raises(MMBenchError, match="no model file at"):
        registry.path("recipes", str(tmp_path / "mine.yaml"))

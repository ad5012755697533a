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


def test_a_package_that_lies_here_is_to_be_installed(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    for call in (registry.check, lambda kind, name: registry.kind_of(name, (kind, "late_fusions"))):
        with pytest.raises(MMBenchError, match="`pip install -e mine`"):
            call("fusions", "mine")


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


def test_a_family_has_members_that_are_not_listed():
    name = "text_to_image_recall_at_2"
    assert name not in registry.names("metrics")
    metric = registry.load("metrics", name)()
    ranks = [[1, 5], [2], [3]]
    directions = ["text_to_image"] * 3
    assert metric.aggregate(metric.statistics(ranks, directions)) == 2 / 3
    assert metric.signature.startswith(f"{name}|")


@pytest.mark.parametrize("name", ["text_to_image_recall_at_0", "text_to_smell_recall_at_1"])
def test_a_family_has_no_member_of_another_kind(name):
    assert not registry.has("metrics", name)
    with pytest.raises(MMBenchError, match=f"no metric called '{name}'"):
        registry.load("metrics", name)

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.records.names import safe_name
from mmbench.records.store import record_folder
from tests.nasty import NASTY

ODD = [
    *("", ".", "..", "...", "/", "\\", "a/b", "a\\b", "../x", "/etc", "C:x", ".hidden", "a.", "a "),
    *(" a", "\x00", "a\x00b", "\x1b[2J", "a\nb", "\u202ea", "\ud800", "a" * 255, "é" * 200, NASTY),
    *("CON", "con", "nul.txt", "COM1", "lpt9.tar.gz", "aux ", "COM¹", "CONIN$", "A", "É", "ﬀ", "ß"),
    *("e\u0301", "a~b", "~", "__~5ec1f7e7", "a:b", "a*", "a?", '"a"', "<a>", "a|b"),
]
RESERVED = ("con", "prn", "aux", "nul", "com1", "lpt9", "conin$", "com¹")


@pytest.mark.parametrize("name", ["gated_fusion", "my-model.v2", "a b", "grün", "模型", "-x", "_"])
def test_an_ordinary_name_is_its_own_folder(name):
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_one_visible_part_of_a_path(name, tmp_path):
    assert_safe(name)
    (tmp_path / safe_name(name)).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [safe_name(name)]


def test_two_names_never_share_a_folder_on_any_file_system():
    names = [*ODD, *map(safe_name, ODD), "a", "é", "\u00e9", "ff", "ss", "a_b", "_"]
    folders = {fold(safe_name(name)) for name in names}
    assert len(folders) == len(set(names))


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_safe_name(one, other):
    assert_safe(one)
    assert (fold(safe_name(one)) == fold(safe_name(other))) == (one == other)


def test_a_record_never_lies_outside_its_root(tmp_path):
    for odd in ODD:
        folder = record_folder(tmp_path, odd, odd, odd, "ab" * 32, 3)
        assert len(folder.relative_to(tmp_path).parts) == 5
        assert tmp_path.resolve() in folder.resolve().parents


def assert_safe(name):
    safe = safe_name(name)
    assert safe_name(name) == safe
    assert 0 < len(safe.encode()) <= 143
    assert not safe.startswith((".", " "))
    assert not safe.endswith((".", " "))
    assert not set(safe) & set('/\\<>:"|?*')
    assert {unicodedata.category(c) for c in safe}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert safe.partition(".")[0].strip().lower() not in RESERVED


def fold(name):
    """As a file system that tells neither case nor spellings of accents apart."""
    return unicodedata.normalize("NFC", name.casefold())

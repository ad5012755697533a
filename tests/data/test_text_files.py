import json

import pytest

from mmbench.data.text_files import read_csv, read_json, read_json_lines, read_lines
from mmbench.errors import MMBenchError


def test_a_csv_may_quote_commas_and_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('name,says\r\na,"one, two"\r\nb,"three\nfour"\r\n\r\n', newline="")
    rows = [{"name": "a", "says": "one, two"}, {"name": "b", "says": "three\nfour"}]
    assert read_csv(path) == rows


def test_a_tsv_knows_no_quotes(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('"a\tb"\n')
    assert read_csv(path, "\t", ["x", "y"]) == [{"x": '"a', "y": 'b"'}]


def test_a_long_value_is_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1," + "z" * 200_000)
    assert len(read_csv(path)[0]["y"]) == 200_000


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_empty_lines_are_none(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one \n\n two\n")
    assert read_lines(path) == ["one", "two"]


def test_an_empty_csv_says_what_is_missing(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(MMBenchError, match="its first line should name its columns"):
        read_csv(tmp_path / "a.csv")


def test_only_line_ends_end_a_line(tmp_path):
    odd = "a\u2028b\u2029c\u0085d\x0ce\x1cf"
    path = tmp_path / "a.txt"
    path.write_bytes(f"{odd}\r\n{odd}\n{odd}\r{odd}".encode())
    assert read_lines(path) == [odd] * 4
    (tmp_path / "a.tsv").write_text(f"{odd}\t{odd}\n")
    assert read_csv(tmp_path / "a.tsv", "\t", ["x", "y"]) == [{"x": odd, "y": odd}]
    (tmp_path / "a.csv").write_bytes(f'x,y\r\n{odd},"{odd}\r\n"\r\n'.encode())
    assert read_csv(tmp_path / "a.csv") == [{"x": odd, "y": f"{odd}\r\n"}]
    value = json.dumps({"says": odd}, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f"{value}\r\n\n{value}\n", newline="")
    assert read_json_lines(tmp_path / "a.jsonl") == [{"says": odd}] * 2


def test_a_line_that_is_no_json_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{')
    with pytest.raises(MMBenchError, match="line 3 is not JSON"):
        read_json_lines(tmp_path / "a.jsonl")

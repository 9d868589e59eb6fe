"""Bodies that no route should ever see."""

from __future__ import annotations

import pytest

from scizor_dagster.api.body import MAX_DEPTH, check_json
from scizor_dagster.api.problems import RequestRefused


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Expecting"),
        (b"", "Expecting"),
        (b"\xff", "codec"),
        (b'{"a": 1, "a": 2}', "named twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b'["\\u0000"]', "NUL"),
        (b'["\\ud800"]', "codec can.t encode"),
        (b"9" * 5000, "Exceeds the limit"),
    ],
    ids=["cut off", "empty", "no text", "twice", "nan", "infinity", "deep", "very deep", "nul", "surrogate", "digits"],
)
def test_json_that_no_store_or_reader_takes_is_refused_before_anything_is_done(body: bytes, words: str) -> None:
    with pytest.raises(RequestRefused, match=words) as refused:
        check_json(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body", [b"{}", b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[["}', b'["\\"", "\\ud83d\\ude00"]', "ä".encode(), b"1"]
)
def test_json_that_is_in_order_passes(body: bytes) -> None:
    check_json(b'["' + body + b'"]' if body == "ä".encode() else body)

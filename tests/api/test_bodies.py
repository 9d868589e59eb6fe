"""Bodies that no route should ever see."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import Request

from scizor_dagster.api.body import MAX_DEPTH, check_json, read_body
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
        (b'["\\\\\\u0000"]', "NUL"),
        (b"9" * 5000, "Exceeds the limit"),
        ('{"a": "b"}'.encode("utf-16"), "codec"),
        ('{"a": "\\u0000"}'.encode("utf-16-le"), "Expecting"),
        ('{"a": "b"}'.encode("utf-32-be"), "Expecting"),
        (b'"' + b'\\"' * 500_000, "Unterminated"),
        (b'["\\\n' + b"[" * (MAX_DEPTH + 1), "Invalid"),
    ],
    ids=[
        "cut off",
        "empty",
        "no text",
        "twice",
        "nan",
        "infinity",
        "deep",
        "very deep",
        "nul",
        "surrogate",
        "nul after",
        "digits",
        "utf-16",
        "utf-16 without a mark",
        "utf-32",
        "many quotes and no end",
        "broken in a text",
    ],
)
def test_json_that_no_store_or_reader_takes_is_refused_before_anything_is_done(body: bytes, words: str) -> None:
    with pytest.raises(RequestRefused, match=words) as refused:
        check_json(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[["}',
        b'["\\"", "\\ud83d\\ude00"]',
        b'["\\\\u0000"]',
        "ä".encode(),
        b"1",
    ],
)
def test_json_that_is_in_order_passes(body: bytes) -> None:
    check_json(b'["' + body + b'"]' if body == "ä".encode() else body)


def reading(*parts: bytes, stalls: bool = False) -> Request:
    """A request whose body comes in parts, and after them nothing or never an end."""
    left = list(parts)

    async def receive() -> dict[str, object]:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or stalls}
        await asyncio.Event().wait()
        raise AssertionError

    return Request({"type": "http", "headers": []}, receive)  # type: ignore[arg-type]


def test_a_body_is_read_whole_up_to_its_limit_and_not_a_byte_further() -> None:
    assert asyncio.run(read_body(reading(b"ab", b"c"), 3, 60)) == b"abc"
    with pytest.raises(RequestRefused) as refused:
        asyncio.run(read_body(reading(b"ab", b"cd", stalls=True), 3, 60))
    assert refused.value.status == 413


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    with pytest.raises(RequestRefused, match="did not arrive") as refused:
        asyncio.run(read_body(reading(b"ab", stalls=True), 3, 0.01))
    assert refused.value.status == 408

import asyncio
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scizor_dagster.paper_exchange.tws_door.requests import UNSUPPORTED, parse
from scizor_dagster.paper_exchange.tws_door.wire import (
    Greeting,
    ProtocolError,
    encode,
    read_frame,
    read_greeting,
    text_of,
)

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=30)


def read(data: bytes, reading, *, chunk: int = 0):
    async def run():
        reader = asyncio.StreamReader()
        for start in range(0, len(data), chunk or len(data) or 1):
            reader.feed_data(data[start : start + (chunk or len(data))])
        reader.feed_eof()
        return await reading(reader)

    return asyncio.run(run())


@given(st.lists(TEXT, min_size=1, max_size=20))
def test_what_is_written_is_read_again(fields):
    assert read(encode(fields), read_frame) == fields


def test_several_frames_in_one_segment_are_read_one_by_one():
    async def both(reader):
        return [await read_frame(reader), await read_frame(reader)]

    assert read(encode(["1", ""]) + encode(["2"]), both) == [["1", ""], ["2"]]


def test_a_frame_that_comes_byte_by_byte_is_read_whole():
    assert read(encode(["61", "1"]), read_frame, chunk=1) == ["61", "1"]


def test_a_frame_that_is_cut_off_is_not_read():
    with pytest.raises(asyncio.IncompleteReadError):
        read(encode(["61", "1"])[:-1], read_frame)


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_a_length_out_of_range_ends_the_connection(length):
    with pytest.raises(ProtocolError, match="a frame of"):
        read(length, read_frame)


def test_a_greeting_says_its_range_of_versions():
    greeting = read(b"API\0\0\0\0\x09v157..176", read_greeting)
    assert greeting == Greeting(157, 176)
    assert greeting.speaks_ours
    assert read(b"API\0\0\0\0\x12v157..178 +PACEAPI", read_greeting).speaks_ours
    assert not Greeting(100, 175).speaks_ours


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n", b"API\0\0\0\0\x03abc"])
def test_another_protocol_is_recognised(words):
    with pytest.raises(ProtocolError):
        read(words, read_greeting)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "1"), (False, "0"), (D("1E+3"), "1000"), (D("1.50"), "1.5"), (D(100), "100"), (7, "7")],
)
def test_a_field_is_written_as_the_api_writes_it(value, text):
    assert text_of(value) == text


def test_a_request_that_is_not_known_is_named_by_its_number():
    request = parse(["68", "1", "5"])
    assert (request.name, request.number, request.req_id) == (UNSUPPORTED, 68, 5)
    assert parse(["x"]).name == UNSUPPORTED
    assert parse([]).name == UNSUPPORTED


def test_an_order_with_more_fields_than_a_plain_one_has_is_not_misread():
    request = parse(["3", "12", *[""] * 130])
    assert request["malformed"] == "1"
    assert request.req_id == 12

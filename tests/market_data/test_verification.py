"""One answer judged against one line of the universe, without a lake."""

import json

import pytest

from scizor_dagster.instruments import EXCHANGE_MICS
from scizor_dagster.market_data.alpaca import _listing
from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.verification import judge
from tests.market_data.support import entry

RECORDED = ("assets_2026.json", "assets_not_tradable_2026-07-24.json")


@pytest.mark.parametrize("exchange", ["PINK", "OTC", "LSEETF", "VALUE"])
def test_an_exchange_that_is_named_and_not_known_is_another_exchange(exchange):
    match = Listing("A", "1", None, "USD", exchange=exchange)
    verdict = judge(entry("A", mic="XNAS"), [match], None, (), split=False)
    assert verdict.listing is None
    assert verdict.reason is SymbolReason.OTHER_EXCHANGE
    assert verdict.note == f"listed on {exchange} at the provider"


def test_a_provider_that_names_no_exchange_does_not_contradict_the_file():
    match = Listing("A", "1", None, "USD")
    assert judge(entry("A", mic="XNAS"), [match], None, (), split=False).listing is match


def test_among_matches_the_one_on_the_files_exchange_is_chosen_over_one_on_an_unknown_exchange():
    matches = [Listing("A", "1", None, "USD", exchange="PINK"), Listing("A", "2", "XNAS", "USD", exchange="NASDAQ")]
    assert judge(entry("A", mic="XNAS"), matches, None, (), split=False).listing is matches[1]


def test_every_recorded_listing_of_alpaca_agrees_with_its_own_exchange_and_over_the_counter_with_none(reference_data):
    folder = reference_data.parent / "reference" / "alpaca-recorded"
    rows = [row for name in RECORDED for row in json.loads((folder / name).read_text())]
    for row in rows:
        match = _listing(row)
        mic = EXCHANGE_MICS.get(row["exchange"])
        verdict = judge(entry(match.symbol, mic=mic or "XNAS"), [match], None, (), split=False)
        assert (verdict.listing is match) == (row["exchange"] != "OTC")

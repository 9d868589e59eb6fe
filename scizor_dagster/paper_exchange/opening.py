"""Opening the venue: its accounts, its market and its clock put together.

What belongs here: the one way to make a venue. What does not: what it does then (`paper_venue`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.clocks import VenueClock
from scizor_dagster.paper_exchange.data import SessionData
from scizor_dagster.paper_exchange.listings import list_instruments
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.paper_exchange.paper_venue import PaperVenue
from scizor_dagster.paper_exchange.store import Database
from scizor_dagster.paper_exchange.venue_store import VenueAccount, VenueStore
from scizor_dagster.sessions import TradingCalendar


def open_venue(
    ledger: Database,
    accounts: Sequence[VenueAccount],
    data: SessionData,
    calendar: TradingCalendar,
    clock: VenueClock,
    instruments: Mapping[str, Instrument],
    rules: Rules | None = None,
    former_names: Mapping[str, str] | None = None,
) -> PaperVenue:
    """Open the venue of one market; accounts are created with their cash on first use.

    Args:
        ledger: Where the books are kept.
        accounts: Every account, with the house that it belongs to.
        data: Sessions of the market; a bar is shown only as far as its session has run.
        calendar: Sessions of the market.
        clock: The venue's time.
        instruments: What is listed, by symbol.
        rules: Spread, impact, participation, minimum; the defaults without.
        former_names: Earlier symbol of an instrument that was renamed: it keeps the ids that it had.

    Raises:
        WrongAccount: an account was opened with another deposit, currency or house.
    """
    market = MarketView(data, calendar, instruments, rules or Rules())
    listings = list_instruments(instruments, former_names or {})
    venue = PaperVenue(VenueStore(ledger), market, rules or Rules(), clock, listings, [row.name for row in accounts])
    venue.open_accounts(accounts)
    return venue

"""The ids under which doors show an instrument: a UUID and a contract id, the same for ever.

What belongs here: how ids are made of an instrument's identity. What does not: what is listed (the
configuration's universe), and how a door shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from uuid import NAMESPACE_URL, uuid5

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.venue_views import VenueListing

_LARGEST_CONTRACT_ID = 2**31 - 1


def list_instruments(instruments: Mapping[str, Instrument], former_names: Mapping[str, str]) -> dict[str, VenueListing]:
    """Every instrument with its ids, by symbol.

    Two instruments of one market whose contract ids would be the same, one in some hundred million, get
    neighbouring ones in the order of their names.
    """
    listings: dict[str, VenueListing] = {}
    taken: set[int] = set()
    for symbol in sorted(instruments):
        instrument = instruments[symbol]
        identity = f"{_first_name(symbol, former_names)}.{instrument.mic}"
        contract_id = int.from_bytes(sha256(identity.encode()).digest()[:8], "big") % _LARGEST_CONTRACT_ID + 1
        while contract_id in taken:
            contract_id += 1
        taken.add(contract_id)
        listings[symbol] = VenueListing(
            instrument,
            asset_id=str(uuid5(NAMESPACE_URL, f"scizor:asset:{identity}")),
            contract_id=contract_id,
            easy_to_borrow=instrument.shortable and instrument.easy_to_borrow,
            active=instrument.tradable,
        )
    return listings


def _first_name(symbol: str, former_names: Mapping[str, str]) -> str:
    seen = {symbol}
    while symbol in former_names and former_names[symbol] not in seen:
        symbol = former_names[symbol]
        seen.add(symbol)
    return symbol

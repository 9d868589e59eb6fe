"""The exchange as a process of a host of its own: the Alpaca door over a venue that stands in the middle of a session.

It says where it listens, and answers what has reached it; nobody but its process has its books.
"""

from __future__ import annotations

import sys
import tempfile
from decimal import Decimal
from pathlib import Path

from scizor_dagster.paper_exchange.alpaca_door.render_account import account_number
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from tests.acceptance.wires import DAY, KEY, NAMES, OTHER_KEY, OTHER_SECRET, OTHERS, SECRET, UNLIMITED, sample_market
from tests.machines.speech import say, words
from tests.paper_exchange.market import FakeData
from tests.paper_exchange.venues import at, make_venue

CASH = Decimal(100_000)
ACCOUNTS = {KEY: (SECRET, NAMES["alpaca"]), OTHER_KEY: (OTHER_SECRET, OTHERS["alpaca"])}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bars, instruments = sample_market(folder)
        accounts = [VenueAccount(account, House.ALPACA, "USD", CASH) for _, account in ACCOUNTS.values()]
        data = FakeData(sessions=bars, prices={})
        hall = make_venue(folder, start=at("08:00", DAY), data=data, instruments=instruments, accounts=accounts)
        hall.to("10:00", DAY)
        with serve_alpaca(hall.venue, ACCOUNTS, host="0.0.0.0", rules=UNLIMITED) as door:
            say(ready=True)
            for word in words():
                if word["do"] == "tell":
                    numbers = [account_number(hall.venue.account(account)) for _, account in ACCOUNTS.values()]
                    say(port=int(door.url.rpartition(":")[2]), numbers=numbers)
                else:
                    orders = [row for _, account in ACCOUNTS.values() for row in hall.all_orders(account)]
                    say(orders=[row.ticket.client_order_id for row in orders])


if __name__ == "__main__":
    sys.exit(main())

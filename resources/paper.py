"""An account at the embedded exchange, for assets that ask a broker themselves.

What belongs here: a thin resource that hands out the domain's broker. What does not: the exchange
(`scizor_dagster.paper_exchange`).
"""

import dagster as dg

from resources.desk import TradingDesk
from scizor_dagster.brokers.protocol import Broker


class PaperResource(dg.ConfigurableResource):
    """The account that the configuration calls `account`."""

    desk: TradingDesk
    account: str

    def broker(self, market: str) -> Broker:
        """The account's broker, for instruments of `market`; its books are in the ledger."""
        return self.desk.desk.broker(self.account, market)

"""An account behind a TWS or a Gateway, for assets that ask a broker themselves.

What belongs here: a thin resource that hands out the domain's broker. What does not: host, port and client id
(the configuration); TWS asks for no secret.
"""

import dagster as dg

from resources.desk import TradingDesk
from scizor_dagster.brokers.protocol import Broker


class IbkrResource(dg.ConfigurableResource):
    """The account that the configuration calls `account`."""

    desk: TradingDesk
    account: str

    def broker(self, market: str) -> Broker:
        """The account's broker, for instruments of `market`; it connects when it is first asked something."""
        return self.desk.desk.broker(self.account, market)

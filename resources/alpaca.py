"""An account at Alpaca, for assets that ask a broker themselves.

What belongs here: a thin resource that hands out the domain's broker, and which secrets the desk takes. What does
not: addresses and limits (the configuration), and any rule about orders.
"""

import dagster as dg

from resources.desk import TradingDesk
from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.config import AlpacaConnection, Config


class AlpacaResource(dg.ConfigurableResource):
    """The account that the configuration calls `account`; its keys are the desk's."""

    desk: TradingDesk
    account: str

    def broker(self, market: str) -> Broker:
        """The account's broker, for instruments of `market`; it connects when it is first asked something."""
        return self.desk.desk.broker(self.account, market)


def alpaca_secrets(config: Config) -> dict[str, str]:
    """The environment variables that the configuration names, each still unread."""
    sources = [
        *config.accounts.values(),
        *(item for market in config.markets.values() for item in market.sources.values()),
    ]
    keys = [(item.key_id, item.secret_key) for item in sources if isinstance(item, AlpacaConnection)]
    names = sorted({reference[2:-1] for pair in keys for reference in pair})
    return {name: dg.EnvVar(name) for name in names}

"""Reference rates between the currencies in use.

What belongs here: the asset `fx_rates`. What does not: using a rate (`planning` sizes in the market's
currency, from capital converted at a stated rate with its age).
"""

import dagster as dg

from assets.failures import clear_failures
from assets.metadata import table
from resources.desk import TradingDesk
from scizor_dagster.flow.rates import collect_rates


@dg.asset(
    key=dg.AssetKey(["fx_rates"]),
    group_name="reference",
    owners=["team:data"],
    kinds={"ducklake"},
    code_version="1",
    description="Rates between the currencies of markets and accounts. A currency to itself is 1, by definition.",
)
def fx_rates(desk: TradingDesk) -> dg.MaterializeResult:
    with clear_failures():
        rates = collect_rates(desk.desk)
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rates), "rates": table(rates)})

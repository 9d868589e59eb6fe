"""Reference rates between the currencies in use.

What belongs here: the asset `fx_rates` and its checks. What does not: using a rate (`flow.money` converts capital).
"""

import dagster as dg

from assets.checks import FactCheck
from assets.failures import clear_failures
from assets.metadata import table
from resources.desk import TradingDesk
from scizor_dagster.flow.rate_files import collect_rates

KEY = dg.AssetKey(["fx_rates"])
BELIEVED = FactCheck(
    KEY, "rates_are_believable", "No rate jumps, lies on a weekend, contradicts its inverse or itself."
)
FRESH = FactCheck(KEY, "rates_are_fresh", "The newest rate of each pair is young enough to convert money by.")


@dg.asset(
    key=KEY,
    group_name="reference",
    owners=["team:data"],
    kinds={"csv", "ducklake"},
    code_version="2",
    check_specs=[BELIEVED.spec, FRESH.spec],
    description="Daily rates of the pairs that the configuration names. A stored rate changes only by "
    "a person's word (scizor rates accept). A currency to itself is 1 and needs no row.",
)
def fx_rates(desk: TradingDesk) -> dg.MaterializeResult:
    with clear_failures():
        report = collect_rates(desk.desk)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.inserted,
            "rates": table(report.newest),
            "refused": table(report.refused),
            "corrected": ", ".join(report.corrected),
            "restated": len(report.restated),
        },
        check_results=[
            BELIEVED.result(
                report.refused.empty and not report.restated,
                refused=len(report.refused),
                restated=", ".join(report.restated[:20]),
            ),
            FRESH.result(not report.stale, stale=", ".join(report.stale)),
        ],
    )

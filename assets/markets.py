"""The assets of one market: from its universe to the one continuous view of its prices.

What belongs here: keys, dependencies, descriptions, checks, and bodies of a few lines that call
`scizor_dagster.flow` and render what it returns. What does not: any rule.
"""

from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from assets.checks import FactCheck, SchemaCheck
from assets.failures import clear_failures
from assets.market_rendering import (
    actions_metadata,
    history_metadata,
    prices_metadata,
    sessions_metadata,
    symbols_metadata,
)
from assets.market_sources import SourceChecks
from assets.metadata import table
from assets.partitions import session_partitions, sessions_of, year_partitions, years_of
from assets.quality_page import judgements_frame, quality_metadata
from resources.desk import TradingDesk
from scizor_dagster.config import Config, Market
from scizor_dagster.errors import InputError
from scizor_dagster.flow.markets import (
    collect_closed_session,
    fill_history,
    price_coverage,
    quarantined,
    refresh_actions,
    refresh_prices,
)
from scizor_dagster.flow.quality import judged_session, quality_report, stopping
from scizor_dagster.flow.stored import newest_stored_session, stored_rows
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.flow.symbols_in_use import retired_in_use
from scizor_dagster.lake.schemas import actions_schema, bars_schema, symbols_schema
from scizor_dagster.market_data.provider import ADJUSTMENTS, Adjustment
from scizor_dagster.sessions import TradingCalendar

OWNERS = ["team:data"]


class DailyConfig(dg.Config):
    """`symbols`: collect these alone; none means the universe. `force`: ask for what is stored as well."""

    symbols: list[str] = Field(default_factory=list)
    force: bool = False


class HistoryConfig(DailyConfig):
    """`since`, `through`: no session before and after these dates (ISO 8601); empty means the whole of the years.

    `again_as`: set aside what is stored on another basis than this adjustment, the source's own, and collect it anew.
    """

    since: str = ""
    through: str = ""
    again_as: str = ""

    def range(self) -> tuple[date | None, date | None]:
        """Both dates, each None where there is none.

        Raises:
            InputError: a text is no date.
        """
        return _date_of("since", self.since), _date_of("through", self.through)

    def adjustment(self) -> Adjustment | None:
        """`again_as`; None where it is empty.

        Raises:
            InputError: it is no adjustment.
        """
        if not self.again_as:
            return None
        found = next((name for name in ADJUSTMENTS if name == self.again_as), None)
        if found is None:
            raise InputError(
                f"'{self.again_as}' is not an adjustment.",
                remedy=f"Use {', '.join(ADJUSTMENTS)}.",
                where="run configuration: again_as",
            )
        return found


def _date_of(key: str, text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"'{text}' is not a date.", remedy="Write it as YYYY-MM-DD.", where=f"run configuration: {key}"
        ) from error


def market_assets(config: Config, market: str) -> list[dg.AssetsDefinition]:
    """Every asset of `market`."""
    settings = config.markets[market]
    calendar = TradingCalendar(settings.calendar)
    common: dict[str, Any] = {"group_name": f"market_{market}", "owners": OWNERS, "code_version": "1"}
    return [
        _symbols(market, common),
        _corporate_actions(market, common),
        _historical_chunks(market, year_partitions(calendar, settings.first_session), common),
        _daily_prices(market, settings, session_partitions(calendar, settings.first_session), common),
        _prices(market, common),
    ]


def _symbols(market: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([market, "symbols"])
    schema = SchemaCheck(key, symbols_schema)
    identified = FactCheck(key, "every_symbol_is_identified", "The provider knows each symbol as one instrument.")
    believed = FactCheck(
        key,
        "no_symbols_vanish_together",
        "The provider has not stopped to know many symbols at once: then none of them is retired.",
        blocking=True,
    )
    in_use = FactCheck(
        key, "what_is_held_or_targeted_is_tracked", "No portfolio holds, or means to hold, a symbol that is retired."
    )

    @dg.asset(
        key=key,
        kinds={"csv", "ducklake"},
        check_specs=[schema.spec, identified.spec, believed.spec, in_use.spec],
        **common,
        description="Every symbol that is or was tracked, with its verified identity, when it was last verified, "
        "and why it is out where it is.",
    )
    def symbols(desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            report = refresh_symbols(desk.desk, market)
            stored = stored_rows(desk.desk, "symbols", market=market)
            retired = retired_in_use(desk.desk, market)
        uncertain = (*report.unverified, *report.doubted)
        unverified = ", ".join(f"{item.symbol} ({item.reason})" for item in uncertain)
        accept = f"If they are gone: scizor symbols populate --market {market} --force-revalidate --force"
        return dg.MaterializeResult(
            metadata=symbols_metadata(report, stored),
            check_results=[
                schema.result(stored),
                identified.result(not uncertain, unverified=unverified),
                believed.result(not report.refused, symbols=", ".join(report.refused), remedy=accept),
                in_use.result(not retired, symbols="; ".join(str(item) for item in retired)),
            ],
        )

    return symbols


def _corporate_actions(market: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([market, "corporate_actions"])
    schema = SchemaCheck(key, actions_schema)

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([market, "symbols"])],
        kinds={"python", "ducklake"},
        check_specs=[schema.spec],
        **common,
        description="Splits, dividends, spin-offs, renames and delistings as known.",
    )
    def corporate_actions(desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            report = refresh_actions(desk.desk, market)
            stored = stored_rows(desk.desk, "corporate_actions", market=market)
        return dg.MaterializeResult(metadata=actions_metadata(report, stored), check_results=[schema.result(stored)])

    return corporate_actions


def _historical_chunks(market: str, partitions: dg.PartitionsDefinition, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([market, "historical_chunks"])
    sound = FactCheck(key, "bars_are_believable", "No bar of the range had to be quarantined.")

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([market, "symbols"])],
        kinds={"python", "ducklake"},
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[sound.spec],
        **common,
        description="Bars by the year for the whole universe, gap-driven: any range of years in one run.",
    )
    def historical_chunks(
        context: dg.AssetExecutionContext, config: HistoryConfig, desk: TradingDesk
    ) -> dg.MaterializeResult:
        first, last = years_of(context)
        with clear_failures():
            since, through = config.range()
            report = fill_history(
                desk.desk,
                market,
                (first, last),
                through,
                since=since,
                symbols=config.symbols,
                force=config.force,
                again_as=config.adjustment(),
            )
            refused = quarantined(desk.desk.lake, market, date(first, 1, 1), date(last, 12, 31))
        return dg.MaterializeResult(
            metadata=history_metadata(report, refused),
            check_results=[sound.result(refused.empty, rows=int(refused["rows"].sum()), by_reason=table(refused))],
        )

    return historical_chunks


def _daily_prices(
    market: str, settings: Market, partitions: dg.PartitionsDefinition, common: dict[str, Any]
) -> dg.AssetsDefinition:
    key = dg.AssetKey([market, "daily_prices"])
    schema = SchemaCheck(key, bars_schema)
    sound = FactCheck(key, "bars_are_believable", "No bar of the session had to be quarantined.")
    complete = FactCheck(
        key,
        "session_can_be_planned_on",
        blocking=True,
        description="Most of the session's bars are there, and the others missed for a reason (the source's failure "
        "for one symbol is one); they agree with a second source where there is one, and the calendar covers the next "
        "year. A plan looks for itself as well.",
    )

    several = SourceChecks(key, settings)

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([market, "symbols"])],
        kinds={"python", "ducklake"},
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[schema.spec, sound.spec, complete.spec, *several.specs],
        **common,
        description="One closed session, all symbols, checked, and earlier gaps. An open session is refused.",
    )
    def daily_prices(context: dg.AssetExecutionContext, config: DailyConfig, desk: TradingDesk) -> dg.MaterializeResult:
        sessions = sessions_of(context)
        with clear_failures():
            report = collect_closed_session(
                desk.desk, market, sessions[-1], first=sessions[0], symbols=config.symbols, force=config.force
            )
            stored = stored_rows(desk.desk, "bars", market=market, session=sessions[-1])
            refused = quarantined(desk.desk.lake, market, sessions[0], sessions[-1])
            agreement = several.results(desk.desk, market, sessions)
            # A part of the universe says nothing about the session.
            judgements = () if config.symbols else judged_session(desk.desk, market, sessions[-1])
        failed = [f"{item.name}: {item.detail}" for item in stopping(judgements)]
        return dg.MaterializeResult(
            metadata=sessions_metadata(report, stored, refused),
            check_results=[
                schema.result(stored),
                sound.result(refused.empty, rows=int(refused["rows"].sum()), by_reason=table(refused)),
                *agreement,
                complete.result(not failed, failed="; ".join(failed), judgements=table(judgements_frame(judgements))),
            ],
        )

    return daily_prices


def _prices(market: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([market, "prices"])
    computed = FactCheck(key, "every_action_has_a_factor", "Each split and dividend could be turned into a factor.")
    usual = FactCheck(
        key,
        "prices_are_as_usual",
        "Nothing in the newest sessions needs a person: no bar without a reason, no outlier, no restatement.",
    )

    @dg.asset(
        key=key,
        kinds={"duckdb", "ducklake"},
        check_specs=[computed.spec, usual.spec],
        **common,
        deps=[dg.AssetKey([market, name]) for name in ("historical_chunks", "daily_prices", "corporate_actions")],
        description="The one continuous view: raw, split-adjusted and total-return columns side by side.",
    )
    def prices(desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            report = refresh_prices(desk.desk, market)
            metadata = prices_metadata(report, price_coverage(desk.desk, market))
            # Of what is stored: whether that is all there should be by now is judged with each session, and by plans.
            quality = quality_report(desk.desk, market, last=newest_stored_session(desk.desk, market))
        odd = "; ".join(f"{item.name}: {item.detail}" for item in quality.judgements if not item.holds)
        skipped = "; ".join(f"{item.symbol} {item.ex_session}: {item.reason}" for item in report.skipped)
        return dg.MaterializeResult(
            metadata=metadata | quality_metadata(quality),
            check_results=[computed.result(not report.skipped, skipped=skipped), usual.result(not odd, found=odd)],
        )

    return prices

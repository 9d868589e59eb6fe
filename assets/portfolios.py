"""The assets of one portfolio: from weight files to measured, reconciled positions.

What belongs here: keys, dependencies, descriptions, checks, and bodies of a few lines that call
`scizor_dagster.flow` and render what it returns. What does not: any rule.

`executions` is the only asset with an effect on the outside world. It has no retry policy, no
automation condition and no backfill policy, runs in a pool of one per account, and reads every gate
from stored facts: a blocking check guards only its own run.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from assets.checks import FactCheck, SchemaCheck
from assets.failures import clear_failures
from assets.partitions import session_of, session_partitions
from assets.rendering import (
    book_metadata,
    costs_metadata,
    execution_metadata,
    performance_metadata,
    plan_metadata,
    reconciliation_metadata,
    report_metadata,
    signals_metadata,
    targets_metadata,
)
from resources.desk import TradingDesk
from scizor_dagster.config import Config
from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.flow.affordability import stored_book_after
from scizor_dagster.flow.approving import awaits_approval, difference_of
from scizor_dagster.flow.closing import PASS, SOURCE, reconcile_session
from scizor_dagster.flow.costs import measure_costs
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_lines import order_origins
from scizor_dagster.flow.exporting import export_as_configured
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.reporting import report_as_part
from scizor_dagster.flow.signals import consolidate_session, take_signals
from scizor_dagster.flow.stored import stored_rows
from scizor_dagster.flow.summary import held_back_orders
from scizor_dagster.flow.trades import FOLLOW, PURPOSE, SCHEDULED_FOR, TAKE, continue_session, trade_session
from scizor_dagster.lake.schemas import (
    order_results_schema,
    performance_schema,
    plan_lines_schema,
    planned_orders_schema,
    signals_schema,
    target_attribution_schema,
    target_weights_schema,
)
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.reconciliation.model import Pass, Source
from scizor_dagster.sessions import TradingCalendar

OWNERS = ["team:trading"]
REFUSED = ("rejected", "blocked")


def portfolio_assets(config: Config, portfolio: str) -> list[dg.AssetsDefinition]:
    """Every asset of `portfolio`, on the session partitions of its market."""
    settings = config.portfolios[portfolio]
    market = config.markets[settings.market]
    calendar = TradingCalendar(market.calendar)
    common: dict[str, Any] = {
        "partitions_def": session_partitions(calendar, market.first_session),
        "group_name": f"portfolio_{portfolio}",
        "owners": OWNERS,
    }
    signals = {strategy: dg.AssetKey([portfolio, "raw_signals", strategy]) for strategy in settings.signals.ids}
    return [
        *(_raw_signals(key, portfolio, strategy, common) for strategy, key in signals.items()),
        _target_weights(tuple(signals.values()), portfolio, settings.market, common),
        _planned_orders(portfolio, settings.market, common),
        _executions(portfolio, settings.account, common),
        _reconciliations(portfolio, common, exported=config.exports.folder is not None),
        _performance(portfolio, common),
    ]


def _raw_signals(key: dg.AssetKey, portfolio: str, strategy: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    schema = SchemaCheck(key, signals_schema)

    @dg.asset(
        key=key,
        kinds={"file", "ducklake"},
        check_specs=[schema.spec],
        code_version="1",
        **common,
        description="The weight file as accepted: hash, line numbers, values. Accepted whole or refused whole.",
    )
    def raw_signals(context: dg.AssetExecutionContext, desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            session = session_of(context)
            look = context.run.tags.get(PURPOSE) == TAKE
            taken = take_signals(desk.desk, portfolio, session, strategy, look=look)
            stored = stored_rows(desk.desk, "signals", strategy=strategy, session=session, file_hash=taken.file_hash)
        return dg.MaterializeResult(
            metadata=signals_metadata(taken),
            check_results=[schema.result(stored)],
            data_version=dg.DataVersion(taken.file_hash or "none"),
        )

    return raw_signals


def _target_weights(
    signals: tuple[dg.AssetKey, ...], portfolio: str, market: str, common: dict[str, Any]
) -> dg.AssetsDefinition:
    key = dg.AssetKey([portfolio, "target_weights"])
    schema = SchemaCheck(key, target_weights_schema)
    attributed = SchemaCheck(key, target_attribution_schema, "attribution_matches_schema")
    resolved = FactCheck(key, "every_id_has_an_instrument", "Each id of the files stands for exactly one instrument.")

    @dg.asset(
        key=key,
        deps=[*signals, dg.AssetKey([market, "symbols"])],
        kinds={"python", "ducklake"},
        check_specs=[schema.spec, attributed.spec, resolved.spec],
        code_version="1",
        **common,
        description="Consolidated targets: the strategies' weights as one, each with an instrument or a reason.",
    )
    def target_weights(context: dg.AssetExecutionContext, desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            targets = consolidate_session(desk.desk, portfolio, session_of(context))
            stored = stored_rows(desk.desk, "target_weights", portfolio=portfolio, session=session_of(context))
            parts = stored_rows(desk.desk, "target_attribution", portfolio=portfolio, session=session_of(context))
        return dg.MaterializeResult(
            metadata=targets_metadata(targets),
            check_results=[
                schema.result(stored),
                attributed.result(parts),
                resolved.result(
                    not targets.set_aside,
                    unresolved=", ".join(item for row in targets.set_aside for item in row.asset_ids),
                    weight=float(targets.weight_set_aside),
                ),
            ],
        )

    return target_weights


def _planned_orders(portfolio: str, market: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([portfolio, "planned_orders"])
    lines_schema = SchemaCheck(key, plan_lines_schema, "lines_match_schema")
    orders_schema = SchemaCheck(key, planned_orders_schema, "orders_match_schema")
    affordable = FactCheck(
        key,
        "plan_fits_the_equity",
        "What the plan opens fits: net of shorts into equity less the cash buffer, gross into max_total_weight of it.",
        blocking=True,
    )

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([portfolio, "target_weights"]), dg.AssetKey([market, "prices"])],
        check_specs=[lines_schema.spec, orders_schema.spec, affordable.spec],
        kinds={"numpy", "ducklake"},
        code_version="1",
        **common,
        description="Every instrument with its orders, or the reason why there are none. Same inputs, same bytes.",
    )
    def planned_orders(context: dg.AssetExecutionContext, desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures():
            planned = plan_session(desk.desk, portfolio, session_of(context))
            lines = stored_rows(desk.desk, "plan_lines", plan_id=planned.plan.plan_id)
            orders = stored_rows(desk.desk, "planned_orders", plan_id=planned.plan.plan_id)
            after = stored_book_after(desk.desk, planned.plan)
            difference = difference_of(desk.desk, planned.plan)
            waits = not planned.kept and awaits_approval(desk.desk, planned.plan)
        plan = planned.plan
        return dg.MaterializeResult(
            metadata=plan_metadata(planned, difference, waits=waits),
            data_version=dg.DataVersion(plan.plan_id),
            check_results=[
                lines_schema.result(lines),
                orders_schema.result(orders),
                affordable.result(after.fits, **book_metadata(after)),
            ],
        )

    return planned_orders


def _executions(portfolio: str, account: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([portfolio, "executions"])
    known = FactCheck(key, "every_outcome_is_known", "No order is in doubt at the broker.", blocking=True)
    unskipped = FactCheck(key, "no_session_was_skipped", "No planned session before this one was left unexecuted.")

    taken = FactCheck(key, "every_order_was_taken", "No order was rejected by the broker or blocked before it.")
    sent = FactCheck(key, "no_order_was_held_back", "No halt, lock or other wait kept an order from going out.")
    in_force = FactCheck(key, "the_plan_was_admitted", "The session's stored plan, where it has orders, is in force.")

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([portfolio, "planned_orders"])],
        kinds={"python", "sqlalchemy"},
        check_specs=[known.spec, unskipped.spec, taken.spec, sent.spec, in_force.spec],
        pool=f"account_{account}",
        code_version="1",
        **common,
        description="What was sent and what came back. Running it again continues; nothing is sent twice.",
    )
    def executions(context: dg.AssetExecutionContext, desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures(), orders_logged(desk.desk, account):
            result = _execute(context, desk.desk, portfolio)
            plan = read_plan(desk.desk.lake, portfolio, session_of(context))
            origins = order_origins(desk.desk, portfolio, session_of(context))
        refused = [f"{row.symbol} {row.state}: {row.reason}" for row in result.orders if row.state in REFUSED]
        held = [row.sentence for row in held_back_orders(desk.desk, portfolio, session_of(context))]
        left_out = result.plan_id is None and plan is not None and bool(plan.orders)
        return dg.MaterializeResult(
            metadata=execution_metadata(result, origins, _currency(desk.desk, portfolio)),
            check_results=[
                known.result(result.state != "frozen", state=str(result.state)),
                unskipped.result(not result.skipped, skipped=", ".join(map(str, result.skipped))),
                taken.result(not refused, refused="; ".join(refused)),
                sent.result(not held, held_back="; ".join(held)),
                in_force.result(not left_out, state=str(result.state), notes=" ".join(result.notes)),
            ],
        )

    return executions


def _currency(desk: Desk, portfolio: str) -> str:
    return desk.market(desk.portfolio(portfolio).market).currency


def _execute(context: dg.AssetExecutionContext, desk: Desk, portfolio: str) -> ExecutionResult:
    tags, session = context.run.tags, session_of(context)
    if tags.get(PURPOSE) == FOLLOW:
        return continue_session(desk, portfolio, session, context.run_id)
    return trade_session(desk, portfolio, session, context.run_id, tags.get(SCHEDULED_FOR))


def _reconciliations(portfolio: str, common: dict[str, Any], *, exported: bool) -> dg.AssetsDefinition:
    key = dg.AssetKey([portfolio, "reconciliations"])
    clean = FactCheck(
        key,
        "no_unexplained_breaks",
        blocking=True,
        description="Plan, ledger and broker agree on orders, fills, positions and cash.",
    )

    schema = SchemaCheck(key, order_results_schema)
    files = FactCheck(key, "files_were_exported", "The session's files are in the folder of the section `exports`.")

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([portfolio, "executions"])],
        kinds={"python", "ducklake"},
        check_specs=[schema.spec, clean.spec, *([files.spec] if exported else [])],
        code_version="1",
        **common,
        description="Breaks between plan, ledger and broker; order results; end-of-day positions.",
    )
    def reconciliations(context: dg.AssetExecutionContext, desk: TradingDesk) -> dg.MaterializeResult:
        with clear_failures(), orders_logged(desk.desk, desk.desk.portfolio(portfolio).account):
            which, source = context.run.tags.get(PASS), context.run.tags.get(SOURCE)
            report = reconcile_session(
                desk.desk,
                portfolio,
                session_of(context),
                which=Pass(which) if which else None,
                source=Source(source) if source else None,
            )
            stored = stored_rows(desk.desk, "order_results", portfolio=portfolio, session=session_of(context))
        trouble = export_as_configured(desk.desk, portfolio, session_of(context))
        return dg.MaterializeResult(
            metadata=reconciliation_metadata(report, _currency(desk.desk, portfolio)),
            check_results=[
                schema.result(stored),
                clean.result(report.break_count == 0, breaks=report.break_count),
                *([files.result(not trouble, trouble=trouble)] if exported else []),
            ],
        )

    return reconciliations


def _performance(portfolio: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    key = dg.AssetKey([portfolio, "performance"])
    schema = SchemaCheck(key, performance_schema)
    priced = FactCheck(key, "every_holding_has_a_price", "Each instrument held has a price of this session.")

    # As a multi-asset of one, it may leave out its output and its checks while there is nothing to measure.
    @dg.multi_asset(
        name=f"{portfolio}__performance",
        check_specs=[schema.spec, priced.spec],
        can_subset=True,
        specs=[
            dg.AssetSpec(
                key,
                deps=[dg.AssetKey([portfolio, "reconciliations"])],
                kinds={"pandas", "ducklake"},
                skippable=True,
                code_version="1",
                **common,
                description="Equity, return and drawdown of the session, once its prices are collected.",
            )
        ],
    )
    def performance(context: dg.AssetExecutionContext, desk: TradingDesk) -> Iterator[dg.MaterializeResult]:
        with clear_failures():
            measured = measure_session(desk.desk, portfolio, session_of(context))
            costs = measure_costs(desk.desk, portfolio, session_of(context)) if measured is not None else None
        page, trouble = report_as_part(desk.desk, portfolio, session_of(context))
        if measured is None or costs is None:
            context.log.info(
                "The session's prices are not collected yet, or its plan waits for a person; it is measured after "
                f"that. Its page: {page or trouble}"
            )
            return
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=performance_metadata(measured, _currency(desk.desk, portfolio))
            | costs_metadata(costs)
            | report_metadata(page, trouble),
            check_results=[
                schema.result(measured.row),
                priced.result(
                    not measured.unpriced and not measured.stale,
                    unpriced=", ".join(measured.unpriced),
                    stale=", ".join(measured.stale),
                ),
            ],
        )

    return performance

"""What the stores hold of one portfolio's session, read once and only where it is asked for.

What belongs here: the reads behind an explanation, all from one snapshot of the lake and one transaction of the ledger.
What does not: what is said of them (`explain_weights`, `explain_orders`, `explain_positions`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from scizor_dagster.analytics.explain.sizing import Sizing, sizings
from scizor_dagster.errors import DataError, ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explain_files import FileNow, content_of, text_line
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.batches import admitted_provenance
from scizor_dagster.ledger.known import known_portfolios
from scizor_dagster.ledger.manual_orders import ManualOrder, batches_by_hand
from scizor_dagster.ledger.permission_tables import armed_sends
from scizor_dagster.ledger.rebuilt import ORIGIN as REBUILT
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batches_of, intents_of
from scizor_dagster.ledger.strategy_tables import computed_weights, strategy_versions, weight_deliveries
from scizor_dagster.ledger.tables import batches, events, risk_events, trades
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.frames import BY_WEIGHTS, read_inputs, read_plan
from scizor_dagster.planning.model import MANUAL, Plan, Provenance
from scizor_dagster.signals.deliveries import content_hash, has_several
from scizor_dagster.signals.targets import Contribution, TargetWeight, read_targets


@dataclass(frozen=True)
class Sources:
    """Both stores as they are at one moment; None for one that is not there."""

    desk: Desk
    lake: Lake | None
    ledger: sa.Connection | None

    @cached_property
    def snapshot(self) -> int | None:
        return None if self.lake is None else self.lake.snapshot()

    @cached_property
    def admitted_provenance(self) -> dict[str, Provenance]:
        """By plan id; see `ledger.batches`. Empty without a ledger."""
        return {} if self.ledger is None else admitted_provenance(self.ledger)

    def lake_rows(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of the lake by column name; none without a lake."""
        if self.lake is None:
            return []
        with self.lake.read() as cursor:
            found = cursor.execute(query, list(parameters))
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def ledger_rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        """Rows of the ledger by column name; none without a ledger."""
        if self.ledger is None:
            return []
        return [dict(row._mapping) for row in self.ledger.execute(statement)]

    @cached_property
    def _of_accounts(self) -> dict[tuple[str, str], list[sa.Row[Any]]]:
        return {}

    def rows_of(self, table: sa.Table, account: str) -> list[sa.Row[Any]]:
        """Every row of the account in a table of the ledger, read once; none without a ledger."""
        key = (table.name, account)
        if key not in self._of_accounts:
            chosen = sa.select(table).where(table.c.account == account)
            self._of_accounts[key] = [] if self.ledger is None else list(self.ledger.execute(chosen))
        return self._of_accounts[key]

    def facts(self, portfolio: str, session: date, account: str | None = None) -> SessionFacts:
        """The portfolio's session: on the account that is named, else on the one that it was traded on."""
        return SessionFacts(self, portfolio, session, on=account)

    @cached_property
    def accounts(self) -> dict[str, set[str]]:
        """The accounts that each portfolio has, or has had: it may have been moved, or taken out of the configuration.

        Those of the configuration come first.
        """
        found = {name: {item.account} for name, item in self.desk.config.portfolios.items()}
        known = {} if self.ledger is None else known_portfolios(self.ledger)
        for account in sorted(known):
            for name in sorted(known[account]):
                found.setdefault(name, set()).add(account)
        return found


@contextmanager
def opened(desk: Desk) -> Iterator[Sources]:
    """Both stores to read, the lake at one snapshot."""
    with ExitStack() as stack:
        lake = stack.enter_context(desk.lake.pinned()) if desk.has_lake else None
        ledger = stack.enter_context(desk.ledger.read()) if desk.has_ledger else None
        yield Sources(desk, lake, ledger)


@dataclass(frozen=True)
class SessionFacts:
    """One portfolio's session: its rebalance, or one of its manual orders.

    Attributes:
        batch_id: Of the manual order that it is about; None for the session's rebalance.
        on: The account that is meant; None for the one that the session was traded on.
        rebalance: Batch of the rebalance that is meant; None for the session's newest.
    """

    sources: Sources
    portfolio: str
    session: date
    batch_id: str | None = None
    on: str | None = None
    rebalance: str | None = None

    @cached_property
    def account(self) -> str:
        """Where it was traded, which need not be where the portfolio trades now; else where it would be."""
        if self.on is not None:
            return self.on
        configured = self.sources.desk.config.portfolios.get(self.portfolio)
        mine = (batches.c.portfolio == self.portfolio, batches.c.session == self.session)
        chosen = sa.select(batches.c.account).where(*mine).order_by(batches.c.created_at)
        traded = [row["account"] for row in self.sources.ledger_rows(chosen)]
        if configured is not None and (not traded or configured.account in traded):
            return configured.account
        return traded[-1] if traded else self.sources.desk.portfolio(self.portfolio).account

    @cached_property
    def batches(self) -> list[BatchRow]:
        if self.sources.ledger is None:
            return []
        return batches_of(self.sources.ledger, self.account, self.portfolio, self.session)

    @property
    def batch(self) -> BatchRow | None:
        named = self.batch_id or self.rebalance
        if named is not None:
            return next((row for row in self.batches if row.batch_id == named), None)
        rebalances = [row for row in reversed(self.batches) if not row.by_hand]
        # What was taken from the broker's books beside an admitted one was no rebalance, as far as anybody knows.
        return next((row for row in rebalances if row.origin != REBUILT), rebalances[0] if rebalances else None)

    @cached_property
    def by_hand(self) -> ManualOrder | None:
        """The request, where it is about a manual order."""
        if self.batch_id is None or self.sources.ledger is None:
            return None
        return batches_by_hand(self.sources.ledger, [self.batch_id]).get(self.batch_id)

    def of_order(self, batch_id: str) -> SessionFacts:
        """The facts that an order of this batch belongs to."""
        found = next((row for row in self.batches if row.batch_id == batch_id), None)
        if found is None or (found is self.batch and not self.is_rebuilt):
            return self
        alone = replace(self, rebalance=batch_id)
        # Taken from the broker's books: who asked for it is lost, and its plan still says that somebody did.
        lost = alone.is_rebuilt and alone.head is not None and alone.head["origin"] == MANUAL
        if found.by_hand or lost:
            return replace(self, batch_id=batch_id)
        return self if found is self.batch else alone

    def each(self) -> list[SessionFacts]:
        """The session's rebalance, where there is one, and each of its manual orders."""
        by_hand = [replace(self, batch_id=row.batch_id) for row in self.batches if row.by_hand]
        return by_hand if by_hand and self.batch is None and self.head is None else [self, *by_hand]

    @property
    def is_rebuilt(self) -> bool:
        return self.batch is not None and self.batch.origin == REBUILT

    @cached_property
    def head(self) -> dict[str, Any] | None:
        """The row of `plans`: of the admitted plan, else of the newest."""
        admitted = self.batch is not None and not self.is_rebuilt
        where, key = "portfolio = ? AND session = ?", [self.portfolio, self.session]
        if admitted and self.batch is not None:
            where, key = f"{where} AND plan_id = ?", [*key, self.batch.plan_id]
        elif made := self._made_orders_of:
            where, key = f"{where} AND plan_id = ?", [*key, made]
        else:
            where = f"{where} AND {BY_WEIGHTS}"
        query = f"SELECT * FROM plans WHERE {where} ORDER BY batch DESC, fetched_at DESC LIMIT 1"
        found = self.sources.lake_rows(query, key)
        return found[0] if found else None

    @cached_property
    def _made_orders_of(self) -> str:
        """The stored plan whose orders a rebuilt batch has: ids are of one plan alone. Empty where there is none."""
        if self.batch is None or not self.is_rebuilt or self.sources.ledger is None:
            return ""
        ids = [row.client_order_id for row in intents_of(self.sources.ledger, self.batch.batch_id)]
        named = self.batch_id or self.rebalance
        query = "SELECT DISTINCT plan_id FROM planned_orders JOIN plans USING (plan_id) WHERE client_order_id IN "
        found = self.sources.lake_rows(f"{query} (SELECT unnest(?)) AND {'true' if named else BY_WEIGHTS}", [ids])
        return found[0]["plan_id"] if len(found) == 1 else ""

    @property
    def is_its_plan(self) -> bool:
        """Whether the plan is known to have made the orders: admitted, or named by their ids."""
        return self.batch is not None and (not self.is_rebuilt or bool(self._made_orders_of))

    @cached_property
    def plan(self) -> Plan | None:
        if self.head is None or self.sources.lake is None:
            return None
        return read_plan(self.sources.lake, self.portfolio, self.session, self.head["plan_id"])

    @cached_property
    def _archive(self) -> tuple[PlanArchive | None, str]:
        if self.head is None or self.sources.lake is None:
            return None, ""
        try:
            found = read_inputs(self.sources.lake, self.head["plan_id"])
        except DataError as error:
            return None, str(error)
        gone = "What the plan was made from is not stored beside it: it is older than lake.audit_years, or was removed."
        return found, "" if found is not None else gone

    @property
    def archive(self) -> PlanArchive | None:
        """What the plan was made from."""
        return self._archive[0]

    @property
    def archive_problem(self) -> str:
        """Why there is no archive; empty where there is one, or no plan."""
        return self._archive[1]

    @cached_property
    def sizings(self) -> dict[str, Sizing]:
        if self.archive is None:
            return {}
        try:
            return sizings(self.archive)
        except ScizorError:
            return {}

    @cached_property
    def targets(self) -> tuple[TargetWeight, ...]:
        """Those that the plan was made from; a manual order has none."""
        lake = self.sources.lake
        return (
            () if lake is None or self.batch_id is not None else read_targets(lake, self.portfolio, self.session).rows
        )

    @cached_property
    def signal_rows(self) -> dict[tuple[str, str, int, str], dict[str, Any]]:
        """Accepted rows of the files that the targets are made of, by strategy, hash, line and id.

        A strategy that rests has rows of an earlier session.
        """
        hashes = sorted({item.file_hash for row in self.targets for item in row.contributions})
        query = (
            "SELECT * FROM signals WHERE file_hash IN (SELECT unnest(?)) AND session <= ? "
            "ORDER BY session, weights_date, line"
        )
        found = self.sources.lake_rows(query, [hashes, self.session])
        return {(row["strategy"], row["file_hash"], row["line"], row["asset_id"]): row for row in found}

    def signal_row(self, item: Contribution) -> dict[str, Any] | None:
        return self.signal_rows.get((item.strategy, item.file_hash, item.line, item.asset_id))

    def target_of(self, symbol: str) -> TargetWeight | None:
        """The target that a line of the plan answers for."""
        named = next((row for row in self.targets if row.symbol == symbol), None)
        if named is not None:
            return named
        line = next((line for line in self.plan.lines if line.symbol == symbol), None) if self.plan else None
        ids = set(line.asset_ids) if line is not None else set()
        return next((row for row in self.targets if ids and ids == set(row.asset_ids)), None)

    def computed(self, strategy: str, file_hash: str) -> list[dict[str, Any]]:
        """The versions of a function that made a content, newest first; empty where it was delivered."""
        columns = (computed_weights, strategy_versions.c.function, strategy_versions.c.parameters)
        chosen = sa.select(*columns).join(strategy_versions, strategy_versions.c.version == computed_weights.c.version)
        mine = (computed_weights.c.strategy == strategy, computed_weights.c.file_hash == file_hash)
        return self.sources.ledger_rows(chosen.where(*mine).order_by(computed_weights.c.made_at.desc()))

    def handed_in(self, strategy: str, file_hash: str, path: str) -> list[dict[str, Any]]:
        """Who handed in a content, oldest first; none where it was laid into its folder by hand.

        One of several files of a strategy is known by its path, whose name has its hash: `file_hash` is of all.
        """
        rows = self.sources.ledger_rows(
            sa.select(weight_deliveries)
            .where(weight_deliveries.c.strategy == strategy)
            .order_by(weight_deliveries.c.number)
        )
        mine = [row for row in rows if row["file_hash"] == file_hash]
        mine = mine or [row for row in rows if row["path"] == path and row["file_hash"][:12] in Path(path).name]
        return [{name: row[name] for name in ("actor", "request_id", "code_hash", "at")} for row in mine]

    @cached_property
    def intents(self) -> dict[str, IntentRow]:
        """Orders of the session in the ledger, of all its batches."""
        if self.sources.ledger is None:
            return {}
        found = (intents_of(self.sources.ledger, batch.batch_id) for batch in self.batches)
        return {row.client_order_id: row for rows in found for row in rows}

    @cached_property
    def reconciliation(self) -> dict[str, Any] | None:
        """The newest pass of the session."""
        found = self.sources.lake_rows(
            "SELECT * FROM reconciliations WHERE portfolio = ? AND session = ? ORDER BY fetched_at DESC LIMIT 1",
            [self.portfolio, self.session],
        )
        return found[0] if found else None

    def breaks(self, symbol: str) -> list[dict[str, Any]]:
        """Breaks of one instrument in the session, as its newest pass has found them."""
        which = self.reconciliation["pass"] if self.reconciliation is not None else None
        return self.sources.lake_rows(
            "SELECT kind, severity, client_order_id, expected, found, remedy FROM breaks "
            "WHERE portfolio = ? AND session = ? AND symbol = ? AND pass IS NOT DISTINCT FROM ? "
            "ORDER BY kind, client_order_id",
            [self.portfolio, self.session, symbol, which],
        )

    def events_of(self, client_order_id: str) -> list[dict[str, Any]]:
        """Every entry of the history that belongs to an order, oldest first."""
        columns = (events.c.seq, events.c.at, events.c.kind, events.c.payload)
        chosen = sa.select(*columns).where(events.c.client_order_id == client_order_id).order_by(events.c.seq)
        return [row | {"payload": json.loads(row["payload"])} for row in self.sources.ledger_rows(chosen)]

    def trades_of(self, client_order_id: str) -> list[dict[str, Any]]:
        """Every version of every execution of an order, oldest first."""
        chosen = (
            sa.select(trades)
            .where(trades.c.account == self.account, trades.c.client_order_id == client_order_id)
            .order_by(trades.c.executed_at, trades.c.fill_id, trades.c.version)
        )
        return self.sources.ledger_rows(chosen)

    def verdicts_of(self, client_order_id: str) -> list[dict[str, Any]]:
        chosen = sa.select(risk_events).where(
            risk_events.c.account == self.account,
            risk_events.c.session == self.session,
            risk_events.c.client_order_id == client_order_id,
        )
        return self.sources.ledger_rows(chosen.order_by(risk_events.c.at, risk_events.c.event_id))

    def armed_sends_of(self, client_order_id: str) -> list[dict[str, Any]]:
        chosen = sa.select(armed_sends).where(armed_sends.c.client_order_id == client_order_id)
        return self.sources.ledger_rows(chosen.order_by(armed_sends.c.at))

    def file_now(self, strategy: str, path: str, file_hash: str, line: int) -> FileNow:
        """The file that a row came from, beside what was accepted of it."""
        data = content_of(Path(path))
        if data is None:
            return FileNow(None, "")
        same = hashlib.sha256(data).hexdigest() == file_hash or self._is_part(strategy, file_hash)
        return FileNow(same, text_line(Path(path), data, line))

    def _is_part(self, strategy: str, file_hash: str) -> bool:
        """Whether the hash is that of several files together, as they are now."""
        try:
            entry = self.sources.desk.manifest.strategy(strategy)
            return has_several(entry) and content_hash(entry) == file_hash
        except ScizorError:
            return False


def decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)

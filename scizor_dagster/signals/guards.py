"""What is so unusual that a person must say that it is meant: weights that are held, not refused.

What belongs here: the guards, from the rows of one session and what is known of earlier ones to findings. What
does not: asking the stores for that (`flow.guards`), and files that are wrong (`rules`, `identity`).

A turnover is one-way: the larger of what is bought and what is sold, as a share of the portfolio; a change of
the share that stays in cash counts on its own side. The first weights of a strategy are no jump.
"""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from scizor_dagster.config import UNLIMITED
from scizor_dagster.signals.arithmetic import plain_text
from scizor_dagster.signals.deliveries import file_name
from scizor_dagster.signals.identity import KnownMarket, ResolvedRow, resolve
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import read_identifier_map
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spelling import one_spelling

if TYPE_CHECKING:
    import pandas as pd

ONE_NAME_SHARE = 0.999
"""Share of the gross weight from which the rest does not count."""
MOST_OF_CAPITAL = 0.5
"""One asset with less of the capital than this, and the rest in cash, is a small bet and not a whole portfolio."""
_ROUNDING = 1e-9
_NAMED_CHANGES = 3
_ALWAYS = {
    "all_zero": "set guards.all_zero: accept",
    "one_name": "set guards.one_name: accept",
    "turnover_jump": "raise guards.max_turnover",
    "name_jump": "raise guards.max_name_change",
}
"""What the strategy manifest says where a guard's finding is nothing unusual."""


@dataclass(frozen=True, slots=True)
class EarlierWeights:
    """Weights by ticker that a strategy had before; `taken` where they were traded, not only written in the file."""

    session: date
    weights: Mapping[str, float]
    taken: bool = False


@dataclass(frozen=True, slots=True)
class TickerChange:
    """From `on` the ticker `symbol` names another company, or none; `new_symbol` is where its owner went."""

    symbol: str
    on: date
    new_symbol: str | None = None

    def __str__(self) -> str:
        moved = f"'{self.symbol}' became '{self.new_symbol}'" if self.new_symbol else f"'{self.symbol}' was given anew"
        return f"{moved} on {self.on}"


@dataclass(frozen=True, slots=True)
class Approved:
    """What people have approved of one content in one session: the rules, and in words who and why.

    `rows_hash` is of what the rows meant to them (`rows_hash`): under another mapping table, universe or manifest the
    same bytes may mean other orders, which nobody has approved.
    """

    rules: frozenset[str]
    rows_hash: str
    text: str


@dataclass(frozen=True)
class Background:
    """What the stores know that a file is judged against; nothing, where there are none.

    Attributes:
        portfolio: Whose session it is, for the command that approves.
        earlier: The weights of the last admitted session before this one.
        taken: Contents (SHA-256) taken before the session, each with the last session it was taken for.
        ticker_changes: Of the market, up to the session.
        market: The universe, and what is known of its prices.
        approvals: Of a content in a session, in the order they were made.
    """

    portfolio: str = ""
    earlier: EarlierWeights | None = None
    taken: Mapping[str, date] = field(default_factory=dict)
    ticker_changes: Sequence[TickerChange] = ()
    market: KnownMarket = field(default_factory=KnownMarket)
    approvals: Mapping[tuple[str, date], Sequence[Approved]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the guards found in one session's rows.

    Attributes:
        held: What a person must approve; empty where all of it is approved, or there is nothing.
        approved: What was found and is approved.
        approval: By whom and why; empty where nothing was found.
        rows_hash: Of what the rows mean.
    """

    held: tuple[Violation, ...] = ()
    approved: tuple[Violation, ...] = ()
    approval: str = ""
    rows_hash: str = ""


def judge(
    entry: StrategyEntry,
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    file_hash: str,
    session: date,
    known: Background,
    *,
    wide: bool = False,
) -> Judgement:
    """Apply the strategy's guards to the rows that would trade in `session`.

    Args:
        entry: The strategy.
        frame: All rows of the accepted file, columns `intake.FRAME_COLUMNS`.
        rows: Those of the session; with `as_of: latest` their own session may be an earlier one.
        file_hash: Of the file's content: an approval is of exactly that.
        session: The session asked for.
        known: What the stores know.
        wide: Whether assets are columns of the file, so that findings have none.
    """
    meant = _meant(entry, rows, known.market)
    earlier = known.earlier or _within(entry, frame, rows["session"].iloc[0], known.market)
    findings = _Findings(entry, rows, meant, session, earlier, known, wide)
    found = (*findings.all_zero(), *findings.one_name(), *findings.jumps(), *findings.changed_tickers())
    digest = rows_hash(meant)
    if not found:
        return Judgement(rows_hash=digest)
    approved = [item for item in known.approvals.get((file_hash, session), ()) if item.rows_hash == digest]
    if not {item.rule for item in found} <= {rule for item in approved for rule in item.rules}:
        return Judgement(held=found, rows_hash=digest)
    text = "; ".join(item.text for item in approved)
    return Judgement((), tuple(replace(item, remedy=text) for item in found), text, digest)


def approval_command(strategy: str, portfolio: str, session: date) -> str:
    """The command by which a person says that a session's weights are meant."""
    owner = f" --portfolio {shlex.quote(portfolio)}" if portfolio else ""
    return f"scizor signals approve --strategy {strategy}{owner} --date {session} --reason TEXT"


def rows_hash(rows: Sequence[ResolvedRow]) -> str:
    """SHA-256 of what rows mean: each instrument with its weight, in whatever order they stand."""
    meanings = sorted(f"{row.instrument_id or row.symbol}\0{row.asset_id}\0{plain_text(row.weight)}\n" for row in rows)
    return hashlib.sha256("".join(meanings).encode()).hexdigest()


def _meant(entry: StrategyEntry, rows: pd.DataFrame, market: KnownMarket) -> tuple[ResolvedRow, ...]:
    return resolve(rows, entry, read_identifier_map(entry), market).rows


def _within(entry: StrategyEntry, frame: pd.DataFrame, session: date, market: KnownMarket) -> EarlierWeights | None:
    """The weights of the file's session before this one."""
    before = max((day for day in set(frame["session"]) if day < session), default=None)
    if before is None:
        return None
    return EarlierWeights(before, weights_of(_meant(entry, frame[frame["session"] == before], market)))


def _name(row: ResolvedRow) -> str:
    return one_spelling(row.symbol or row.asset_id)


def weights_of(rows: Sequence[ResolvedRow]) -> dict[str, float]:
    """Weight by ticker; by id where there is none."""
    weights: dict[str, float] = {}
    for row in rows:
        name = _name(row)
        weights[name] = weights.get(name, 0.0) + float(row.weight)
    return weights


@dataclass(frozen=True)
class _Findings:
    entry: StrategyEntry
    rows: pd.DataFrame
    meant: Sequence[ResolvedRow]
    session: date
    earlier: EarlierWeights | None
    known: Background
    wide: bool

    def all_zero(self) -> Iterator[Violation]:
        if self.entry.guards.all_zero == "hold" and not self.rows["weight"].any():
            yield self._held("all_zero", "Every weight is zero: everything that the strategy holds would be sold.", "0")

    def one_name(self) -> Iterator[Violation]:
        if self.entry.guards.one_name == "accept":
            return
        sizes = self.rows["weight"].abs()
        gross, largest = math.fsum(sizes), float(sizes.max())
        if largest > MOST_OF_CAPITAL and largest >= ONE_NAME_SHARE * gross:
            place = int(sizes.to_numpy().argmax())
            name, weight = self.rows["asset_id"].iloc[place], self.rows["weight"].iloc[place]
            problem = f"The whole portfolio would be in '{name}', with a weight of {weight:.6g}."
            yield self._held("one_name", problem, f"{weight:.12g}", place)

    def jumps(self) -> Iterator[Violation]:
        if self.earlier is None:
            return
        new = weights_of(self.meant)
        old = {one_spelling(name): weight for name, weight in self.earlier.weights.items()}
        changes = {name: new.get(name, 0.0) - old.get(name, 0.0) for name in (*new, *(old.keys() - new.keys()))}
        yield from self._turnover(changes, self.earlier)
        limit = self.entry.guards.max_name_change
        if limit == UNLIMITED:
            return
        lines = {str(asset_id): place for place, asset_id in enumerate(self.rows["asset_id"])}
        places = {_name(row): lines[row.asset_id] for row in self.meant}
        for name, change in changes.items():
            if abs(change) > float(limit) + _ROUNDING:
                weights = f"{old.get(name, 0.0):.6g} to {new.get(name, 0.0):.6g}"
                problem = f"'{name}' would go from {weights}; a change of {float(limit):g} is allowed."
                yield self._held("name_jump", problem, f"{change:.12g}", places.get(name))

    def _turnover(self, changes: Mapping[str, float], earlier: EarlierWeights) -> Iterator[Violation]:
        limit = self.entry.guards.max_turnover
        buys = math.fsum(change for change in changes.values() if change > 0)
        sells = -math.fsum(change for change in changes.values() if change < 0)
        if limit == UNLIMITED or max(buys, sells) <= float(limit) + _ROUNDING:
            return
        # By name where changes are equal: a finding does not depend on the order of rows.
        largest = sorted(changes.items(), key=lambda item: (-abs(item[1]), item[0]))[:_NAMED_CHANGES]
        named = ", ".join(f"{name} {change:+.6g}" for name, change in largest)
        before = f"the weights {'traded in' if earlier.taken else 'of'} {earlier.session}"
        problem = (
            f"Against {before}, {buys:.6g} of the portfolio would be bought and {sells:.6g} sold; "
            f"{float(limit):g} is allowed. The largest changes: {named}."
        )
        yield self._held("turnover_jump", problem, f"{max(buys, sells):.12g}")

    def changed_tickers(self) -> Iterator[Violation]:
        """Tickers that stood for another company when the weights were made, or when the strategy last traded."""
        changes = self.known.ticker_changes
        if not changes:
            return
        identifiers, market = read_identifier_map(self.entry), self.known.market
        last = self.known.earlier.session if self.known.earlier else self.session
        columns = (self.rows["asset_id"], self.rows["weights_date"])
        for place, (asset_id, day) in enumerate(zip(*columns, strict=True)):
            named = {found for name in identifiers.resolve(str(asset_id), day) for found in market.spelled(name)}
            for change in changes:
                since = min(day, last)
                if since < change.on <= self.session and named & {change.symbol, change.new_symbol}:
                    problem = f"{change}, after {since}: '{asset_id}' may not be the company that is meant."
                    yield self._held("ticker_changed_owner", problem, str(asset_id), place, "asset_id")

    def _held(
        self, rule: str, problem: str, value: str, place: int | None = 0, column: str = "target_weight"
    ) -> Violation:
        command = approval_command(self.entry.id, self.known.portfolio, self.session)
        always = f"; if it always is, {_ALWAYS[rule]} in the strategy manifest" if rule in _ALWAYS else ""
        return Violation(
            rule,
            problem,
            f"If it is meant, approve it with: {command}{always}.",
            line=None if place is None else int(self.rows["line"].iloc[place]),
            sheet=self.rows["sheet"].iloc[0],
            column=None if self.wide else self.entry.columns[column],
            value=value,
            file=file_name(self.entry, self.rows),
        )

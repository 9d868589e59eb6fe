"""Reference rates from the configured files: reading, judging and storing them, and a person's word for one.

What belongs here: the stage `fx_rates`. What does not: which rates are believed (`market_data.rates`), and converting
by them (`flow.rates`).

A stored rate changes only by a person's word for the other one; what it was before stands in the ledger's history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.ledger.acceptances import accept_rate, accepted_rates
from scizor_dagster.market_data.rates import JUDGED, CheckedRates, Rate, age_in_weekdays, check_rates, read_rates

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from scizor_dagster.config.fx import FxRules, RateFile

Pair = tuple[str, str]
Days = Mapping[date, float]


@dataclass(frozen=True)
class RatesReport:
    """What was collected.

    Attributes:
        newest: The newest stored rate of each pair: base, quote, session, rate, source, fetched_at, age.
        refused: Rates that were not believed: base, quote, session, rate, reason, detail, where.
        inserted: Number of rates that are new.
        corrected: Pairs and days whose stored rate was replaced by one that a person had accepted.
        restated: Pairs and days whose file now says another rate; the stored one stays.
        stale: Pairs whose newest rate is too old to convert by.
    """

    newest: pd.DataFrame
    refused: pd.DataFrame
    inserted: int
    corrected: tuple[str, ...]
    restated: tuple[str, ...]
    stale: tuple[str, ...]


@dataclass(frozen=True)
class _Judged:
    """The rows of one file beside what is stored of its pair."""

    item: RateFile
    checked: CheckedRates
    stored: Days
    accepted: Days

    @property
    def new(self) -> list[Rate]:
        return [row for row in self.checked.good if row.session not in self.stored]

    @property
    def changed(self) -> list[Rate]:
        """Rows that say otherwise than what is stored."""
        return [row for row in self.checked.good if self.stored.get(row.session, row.rate) != row.rate]

    @property
    def corrections(self) -> list[Rate]:
        return [row for row in self.changed if self.accepted.get(row.session) == row.rate]

    @property
    def restated(self) -> list[Rate]:
        return [row for row in self.changed if self.accepted.get(row.session) != row.rate]

    def named(self, rows: list[Rate]) -> list[str]:
        return [f"{self.item.base}/{self.item.quote} {row.session}" for row in rows]


def collect_rates(desk: Desk) -> RatesReport:
    """Read every configured file, check it, and store the rates that are new, and those that a person has corrected.

    Raises:
        InputError: a file that cannot be read.
    """
    import pandas as pd

    now, rules = desk.clock(), desk.config.fx
    rows, accepted = _rows(desk), _accepted(desk)
    with desk.lake.write() as cursor:
        judged = _judge(cursor, desk, rows, accepted)
        for found in judged:
            item = found.item
            for row in found.corrections:
                key = [item.base, item.quote, row.session]
                cursor.execute("DELETE FROM fx_rates WHERE base = ? AND quote = ? AND session = ?", key)
            kept = [(row.session, row.rate) for row in [*found.new, *found.corrections]]
            frame = pd.DataFrame(kept, columns=["session", "rate"])
            frame = frame.assign(base=item.base, quote=item.quote, source=f"files:{item.path}", fetched_at=now)
            append_rows(cursor, "fx_rates", frame)
    newest = _newest(desk, now.date())
    too_old = newest[newest["age"] > rules.max_age_sessions]
    return RatesReport(
        newest=newest,
        refused=_refused(judged),
        inserted=sum(len(found.new) for found in judged),
        corrected=tuple(name for found in judged for name in found.named(found.corrections)),
        restated=tuple(name for found in judged for name in found.named(found.restated)),
        stale=tuple(f"{row.base}/{row.quote}" for row in too_old.itertuples()),
    )


def doubtful_rates(desk: Desk) -> pd.DataFrame:
    """What the files say now and is not believed, or is stored otherwise; nothing is written.

    Columns: base, quote, session, rate, reason, detail, where; the reason of a rate that is stored otherwise is
    `restated`.

    Raises:
        InputError: a file that cannot be read, or no rate has been collected yet.
    """
    import pandas as pd

    if not desk.has_lake:
        raise InputError("Nothing has been collected yet.", remedy="Collect it: scizor collect daily.", where="fx")
    rows, accepted = _rows(desk), _accepted(desk)
    with desk.lake.read() as cursor:
        judged = _judge(cursor, desk, rows, accepted)
    restated = [
        (found.item.base, found.item.quote, row.session, row.rate, "restated", f"{known:g} is stored", row.where)
        for found in judged
        for row in found.restated
        if (known := found.stored[row.session])
    ]
    refused = _refused(judged)
    return pd.concat([refused, pd.DataFrame(restated, columns=refused.columns)], ignore_index=True)


def accept_doubtful_rate(desk: Desk, base: str, quote: str, session: date, *, reason: str, actor: str) -> float:
    """Record that a person believes what the pair's file says of a day; the rate. The next collection takes it.

    Raises:
        InputError: no reason is given, or there is nothing to accept of that day.
    """
    where = f"{base}/{quote} {session}"
    if not reason.strip():
        raise InputError("No reason is given.", remedy="Say why the rate is believed, with --reason.", where=where)
    doubtful = doubtful_rates(desk)
    mine = (doubtful["base"] == base) & (doubtful["quote"] == quote) & (doubtful["session"] == session)
    found = [row for row in doubtful[mine].to_dict("records") if row["reason"] in (*JUDGED, "restated")]
    if not found:
        never = ", ".join(f"{row['reason']} ({row['detail']})" for row in doubtful[mine].to_dict("records"))
        raise InputError(
            f"There is no rate to accept{': ' + never if never else ''}.",
            remedy="See them: scizor rates doubtful. What is no rate must be mended in its file.",
            where=where,
        )
    rate = float(found[0]["rate"])
    with desk.lake.read() as cursor:
        before = _stored(cursor, (base, quote)).get(session)
    with desk.ledger.transaction() as connection:
        accept_rate(
            connection, base, quote, session, rate,
            replaces=before, reason=reason.strip(), actor=actor, now=desk.clock(),
        )  # fmt: skip
    return rate


def _rows(desk: Desk) -> dict[RateFile, list[Rate]]:
    return {
        item: read_rates(desk.config.folder / item.path, item.date_column, item.rate_column)
        for item in desk.config.fx.files
    }


def _accepted(desk: Desk) -> dict[Pair, Days]:
    with desk.ledger.read() as connection:
        return {
            (item.base, item.quote): accepted_rates(connection, item.base, item.quote) for item in desk.config.fx.files
        }


def _stored(cursor: duckdb.DuckDBPyConnection, pair: Pair) -> dict[date, float]:
    rows = cursor.execute("SELECT session, rate FROM fx_rates WHERE base = ? AND quote = ?", list(pair)).fetchall()
    return dict(rows)


def _judge(
    cursor: duckdb.DuckDBPyConnection, desk: Desk, rows: Mapping[RateFile, list[Rate]], accepted: Mapping[Pair, Days]
) -> list[_Judged]:
    """Each file beside what is stored of its pair, and of the inverse one."""
    stored = {
        pair: _stored(cursor, pair) for item in rows for pair in ((item.base, item.quote), (item.quote, item.base))
    }
    alone = {
        (item.base, item.quote): {
            row.session: row.rate for row in _check(desk, found, (item.base, item.quote), {}, stored, accepted).good
        }
        for item, found in rows.items()
    }
    judged = []
    for item, found in rows.items():
        pair, inverse = (item.base, item.quote), (item.quote, item.base)
        # A file that was wrong for a day must not take its inverse along: only what it is believed to say counts.
        other = {**alone.get(inverse, {}), **stored[inverse], **accepted.get(inverse, {})}
        checked = _check(desk, found, pair, other, stored, accepted)
        judged.append(_Judged(item, checked, stored[pair], accepted[pair]))
    return judged


def _check(
    desk: Desk, rows: list[Rate], pair: Pair, inverse: Days, stored: Mapping[Pair, Days], accepted: Mapping[Pair, Days]
) -> CheckedRates:
    rules: FxRules = desk.config.fx
    return check_rates(
        rows,
        desk.clock(),
        max_jump=rules.max_jump,
        inverse=inverse,
        max_difference=rules.max_inverse_difference,
        stored=stored[pair],
        accepted=accepted[pair],
    )


def _newest(desk: Desk, today: date) -> pd.DataFrame:
    with desk.lake.read() as cursor:
        frame = cursor.execute(
            "SELECT * FROM fx_rates QUALIFY row_number() OVER (PARTITION BY base, quote ORDER BY session DESC) = 1 "
            "ORDER BY base, quote"
        ).df()
    frame["session"] = [stamp.date() for stamp in frame["session"]]
    frame["age"] = [age_in_weekdays(day, today - timedelta(days=1)) for day in frame["session"]]
    return frame


def _refused(judged: list[_Judged]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (found.item.base, found.item.quote, row.session, row.rate, row.reason, row.detail, row.where)
        for found in judged
        for row in found.checked.refused
    ]
    return pd.DataFrame(rows, columns=["base", "quote", "session", "rate", "reason", "detail", "where"])

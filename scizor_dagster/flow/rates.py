"""Reference rates between the currencies of a configuration: collecting them, and converting an amount.

What belongs here: the stage `fx_rates`, and the one function that converts. What does not: which rates are believed
(`market_data.rates`). Nothing here trades currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.errors import PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.market_data.rates import CheckedRates, age_in_weekdays, check_rates, read_rates
from scizor_dagster.planning.rules import exact

if TYPE_CHECKING:
    import pandas as pd

    from scizor_dagster.config.fx import RateFile

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class StatedRate:
    """A rate as it was used: `rate` units of `quote` for one of `base`.

    Attributes:
        session: The day that it is of.
        age: Weekdays from then to the last one before it was used.
        inverted: Whether it is one over the stored rate of the inverse pair.
    """

    base: str
    quote: str
    rate: Decimal
    session: date
    age: int
    source: str
    inverted: bool

    def convert(self, amount: Decimal) -> Decimal:
        """`amount` of `base` in `quote`, to the cent."""
        return (amount * self.rate).quantize(CENT)

    @property
    def sentence(self) -> str:
        how = f"one over the rate of {self.quote}/{self.base} " if self.inverted else ""
        return (
            f"at {self.rate:f} {self.quote} for one {self.base}, {how}of {self.session} ({self.source}, "
            f"{self.age} weekday(s) old)"
        )


@dataclass(frozen=True)
class RatesReport:
    """What was collected.

    Attributes:
        newest: The newest stored rate of each pair: base, quote, session, rate, source, fetched_at, age.
        refused: Rates that were not believed: base, quote, session, rate, reason, detail, where.
        inserted: Number of rates that are new.
        restated: Pairs and days whose file now says another rate; the stored one stays.
        stale: Pairs whose newest rate is too old to convert by.
    """

    newest: pd.DataFrame
    refused: pd.DataFrame
    inserted: int
    restated: tuple[str, ...]
    stale: tuple[str, ...]


def collect_rates(desk: Desk) -> RatesReport:
    """Read every configured file, check it, and store the rates that are new; a stored rate never changes.

    Raises:
        InputError: a file that cannot be read.
    """
    import pandas as pd

    now, rules = desk.clock(), desk.config.fx
    rows = {
        item: read_rates(desk.config.folder / item.path, item.date_column, item.rate_column) for item in rules.files
    }
    raw = {(item.base, item.quote): {row.session: row.rate for row in found} for item, found in rows.items()}
    checked = {
        item: check_rates(
            found,
            now,
            max_jump=rules.max_jump,
            inverse=raw.get((item.quote, item.base), {}),
            max_difference=rules.max_inverse_difference,
        )
        for item, found in rows.items()
    }
    inserted, restated = 0, list[str]()
    with desk.lake.write() as cursor:
        for item, result in checked.items():
            pair = [item.base, item.quote]
            stored = dict(
                cursor.execute("SELECT session, rate FROM fx_rates WHERE base = ? AND quote = ?", pair).fetchall()
            )
            fresh = [(row.session, row.rate) for row in result.good if row.session not in stored]
            restated += [
                f"{item.base}/{item.quote} {row.session}"
                for row in result.good
                if stored.get(row.session, row.rate) != row.rate
            ]
            frame = pd.DataFrame(fresh, columns=["session", "rate"])
            frame = frame.assign(base=item.base, quote=item.quote, source=f"files:{item.path}", fetched_at=now)
            inserted += append_rows(cursor, "fx_rates", frame)
    newest = _newest(desk, now.date())
    too_old = newest[newest["age"] > rules.max_age_sessions]
    stale = tuple(f"{row.base}/{row.quote}" for row in too_old.itertuples())
    return RatesReport(newest, _refused(checked), inserted, tuple(restated), stale)


def rate_before(desk: Desk, base: str, quote: str, session: date) -> StatedRate:
    """The newest rate known before `session`, with its age.

    Raises:
        PriceUnavailable: there is none, or it is older than `fx.max_age_sessions` weekdays.
    """
    before = session - timedelta(days=1)
    if base == quote:
        return StatedRate(base, quote, Decimal(1), before, 0, "identity", inverted=False)
    with desk.lake.read() as cursor:
        row = cursor.execute(
            "SELECT session, rate, source, base <> $1 FROM fx_rates WHERE session < $3 "
            "AND ((base = $1 AND quote = $2) OR (base = $2 AND quote = $1)) "
            "ORDER BY session DESC, base <> $1 LIMIT 1",
            [base, quote, session],
        ).fetchone()
    where, remedy = f"{base}/{quote}", "Bring the file of fx.files up to date and collect it: scizor collect daily."
    if row is None:
        raise PriceUnavailable(f"There is no rate of {base} in {quote} before {session}.", remedy=remedy, where=where)
    day, stored, source, inverted = row
    age, limit = age_in_weekdays(day, before), desk.config.fx.max_age_sessions
    if age > limit:
        raise PriceUnavailable(
            f"The newest rate of {base} in {quote} before {session} is of {day}, {age} weekdays old; "
            f"fx.max_age_sessions allows {limit}.",
            remedy=remedy,
            where=where,
        )
    rate = exact(1 / stored if inverted else stored)
    return StatedRate(base, quote, rate, day, age, str(source), inverted=bool(inverted))


def _newest(desk: Desk, today: date) -> pd.DataFrame:
    with desk.lake.read() as cursor:
        frame = cursor.execute(
            "SELECT * FROM fx_rates QUALIFY row_number() OVER (PARTITION BY base, quote ORDER BY session DESC) = 1 "
            "ORDER BY base, quote"
        ).df()
    frame["session"] = [stamp.date() for stamp in frame["session"]]
    frame["age"] = [age_in_weekdays(day, today - timedelta(days=1)) for day in frame["session"]]
    return frame


def _refused(checked: dict[RateFile, CheckedRates]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (item.base, item.quote, row.session, row.rate, row.reason, row.detail, row.where)
        for item, result in checked.items()
        for row in result.refused
    ]
    return pd.DataFrame(rows, columns=["base", "quote", "session", "rate", "reason", "detail", "where"])

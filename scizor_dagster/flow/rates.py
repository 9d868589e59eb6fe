"""Reference rates between the currencies of a configuration: converting an amount by them.

What belongs here: the one function that converts. What does not: collecting rates (`flow.rate_files`). Nothing here
trades currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from scizor_dagster.errors import PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.rates import age_in_weekdays
from scizor_dagster.planning.rules import exact

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

"""What one execution is handed beside its plan, ledger, broker and clock.

What belongs here: figures and expectations of the portfolio's owner. What does not: facts that the
ledger or the broker know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.ledger.conversions import Conversion
from scizor_dagster.risk.breaks import NO_LIMITS as NO_BREAK_LIMITS
from scizor_dagster.risk.breaks import BreakLimits
from scizor_dagster.risk.facts import FactsOf, nothing_known
from scizor_dagster.risk.limits import PreTradeLimits

PAPER = "paper"
Wait = Callable[[], bool]
"""Returns once the broker has news of orders, or after a while; False, at once, where a run's time for it is over."""


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Settings of one portfolio.

    Attributes:
        starting_cash: The portfolio's cash before its first flow: at any time its cash is this plus
            `ledger.holdings.cash_flow`. Fixed per batch when it is admitted.
        conversion: How the starting cash came about, where it was stated in another currency; recorded with the
            portfolio's first batch.
        borrow: Whether buys may spend what the account holds in other currencies, which borrows theirs.
        expected_broker: What the broker's own identity must say, with environment and account id.
        limits: What the portfolio's orders are checked against.
        facts: What the market says about the portfolio before a session; a limit that needs a fact
            which is not known stops the order.
        breaks: From when on open breaks stop the whole portfolio; what locks an instrument alone needs no limit.
        increments: Smallest step of quantity by symbol, for scaled buys; a symbol that is not named
            keeps the decimals of its planned quantity.
        live_trading: Whether an account with real money may be traded at all; where not, no arming changes it.
        needs_approval: Whether a plan with orders is admitted only once a person has approved it.
        live_session: The session that the exchange's calendar calls today's. Only it ever trades on
            an account that is not paper; None means that nothing does.
        lookback: How far before the oldest open session fills and activities are read again, so
            that late ones are seen.
        activity_lookback: How much further back activities are read: a source may know a split or a
            dividend long after its ex session.
        max_rounds: Bound of the loop over steps of the venue.
        wait: How a run waits in an open session for a venue that moves by itself; None where it looks once.
        sells_within: How long sales may rest while buys wait for them; then they are canceled, and the buys go with
            the cash that is there. None until the last moments of the session. Sales for an auction keep theirs.
        opens_at: When a session opens: the time of an order that was sent before counts from there.
    """

    starting_cash: Decimal
    expected_broker: str
    expected_environment: str
    expected_account_id: str
    limits: PreTradeLimits
    facts: FactsOf = nothing_known
    breaks: BreakLimits = NO_BREAK_LIMITS
    conversion: Conversion | None = None
    borrow: bool = False
    increments: Mapping[str, Decimal] = field(default_factory=dict)
    live_trading: bool = False
    needs_approval: bool = False
    live_session: date | None = None
    lookback: timedelta = timedelta(days=7)
    activity_lookback: timedelta = timedelta(days=400)
    max_rounds: int = 64
    wait: Wait | None = None
    sells_within: timedelta | None = None
    opens_at: Callable[[date], datetime] | None = None

    @property
    def identity(self) -> BrokerIdentity:
        return BrokerIdentity(self.expected_broker, self.expected_environment, self.expected_account_id)

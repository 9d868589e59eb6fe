"""Whose trading a command stops, also while the configuration cannot be read.

What belongs here: from the names on the command line to accounts and portfolios. What does not: the commands
(`trading_states`), and the state itself (`risk.trading_state`).

To stop trading needs the ledger and nothing else: a configuration that somebody has just broken is a good reason
to stop. The ledger then says which accounts and portfolios there are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scizor_dagster.cli import dates
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import InputError, ScizorError
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.stopping import Scope

HOME = "SCIZOR_HOME"
LEDGER = (HOME, "DATABASE_URL")
"""What says where the ledger is, and so what even a stop cannot do without."""


@dataclass(frozen=True)
class StoppingDesk:
    """A desk whose ledger can be written. `problem` says why its configuration cannot be used; empty where it can."""

    desk: Desk
    problem: str = ""

    def scopes(self, account: str | None, portfolio: str | None) -> list[Scope]:
        """What the names on the command line mean.

        Raises:
            InputError, ConfigError: a name that neither configuration nor ledger knows, or none where one is needed.
        """
        known = self._known()
        if self.problem:
            return _by_ledger(known, account, portfolio)
        return [_by_configuration(self.desk, known, account, portfolio)]

    @property
    def note(self) -> str:
        """What a person is told where the configuration was not of use; empty where it was."""
        if not self.problem:
            return ""
        home = self.desk.settings.home
        return f"The configuration cannot be read; the ledger in {home} says what there is. {self.problem}"

    def knows(self, portfolio: str) -> bool:
        """Whether the configuration or the ledger has a portfolio of this name, on any account.

        Raises:
            InputError: there is neither a configuration that can be read nor a ledger.
        """
        configured = not self.problem and portfolio in self.desk.config.portfolios
        return configured or any(portfolio in names for names in self._known().values())

    def _known(self) -> dict[str, set[str]]:
        from scizor_dagster.ledger.known import known_portfolios

        if self.desk.has_ledger:
            with self.desk.ledger.read() as connection:
                return known_portfolios(connection)
        if self.problem:
            raise InputError(
                f"There is no ledger in it, and the configuration cannot be read: {self.problem}",
                remedy=f"Name the folder of the ledger: --home PATH, or the environment variable {HOME}.",
                where=str(self.desk.settings.home),
            )
        return {}


def desk_to_stop_with(home: Path | None) -> StoppingDesk:
    """The desk of the environment's configuration, or one of the ledger alone where it cannot be read.

    Raises:
        ConfigError: `SCIZOR_HOME` is set to nothing, and no home is named; or `DATABASE_URL` cannot be used: a stop
            in another ledger than the one that trades would stop nothing.
    """
    places = {name: os.environ[name] for name in LEDGER if name in os.environ}
    places |= {HOME: str(home)} if home is not None else {}
    try:
        return StoppingDesk(open_desk({**os.environ, **places}))
    except ScizorError as error:
        problem = str(error)
    except Exception as error:
        # Whatever is wrong with the configuration, no stop may depend on it.
        problem = f"{type(error).__name__}: {error}"
    from scizor_dagster.flow.desk import Desk

    settings = Settings.from_environment(places)
    _ = settings.ledger_url
    return StoppingDesk(Desk(settings, dates.now), problem)


def _by_ledger(known: dict[str, set[str]], account: str | None, portfolio: str | None) -> list[Scope]:
    from scizor_dagster.flow.stopping import Scope

    found = [
        Scope(name, portfolio)
        for name, portfolios in sorted(known.items())
        if account in (None, name) and (portfolio is None or portfolio in portfolios)
    ]
    if found:
        return found
    names = "; ".join(f"account {name}: {', '.join(sorted(items)) or 'none'}" for name, items in sorted(known.items()))
    asked = " ".join(f"{kind} '{name}'" for kind, name in (("account", account), ("portfolio", portfolio)) if name)
    raise InputError(
        f"The configuration cannot be read, and the ledger knows no {asked or 'account'}.",
        remedy=f"It knows these portfolios: {names}."
        if known
        else "Nothing has traded with it; mend the configuration.",
        where="--account, --portfolio",
    )


def _by_configuration(desk: Desk, known: dict[str, set[str]], account: str | None, portfolio: str | None) -> Scope:
    """The account that is meant; one that nobody knows is refused, as is a portfolio of another one."""
    from scizor_dagster.flow.stopping import Scope

    if account is None and portfolio is None:
        raise InputError(
            "Neither an account nor a portfolio is named.",
            remedy=f"Give --portfolio ({', '.join(desk.config.portfolios)}) or --account "
            f"({', '.join(desk.config.accounts)}).",
            where="--account, --portfolio",
        )
    if portfolio is None:
        assert account is not None
        # An account that was taken out of the configuration may still have orders.
        if account not in known:
            desk.account(account)
        return Scope(account, None)
    if portfolio not in desk.config.portfolios and account is not None and portfolio in known.get(account, ()):
        return Scope(account, portfolio)
    its_own = desk.portfolio(portfolio).account
    if account not in (None, its_own):
        raise InputError(
            f"Portfolio '{portfolio}' trades on account '{its_own}', not on '{account}'.",
            remedy="Leave --account out, or name its own.",
            where="--account",
        )
    return Scope(its_own, portfolio)

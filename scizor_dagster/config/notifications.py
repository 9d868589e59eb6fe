"""Who is told what: the section `notifications`.

What belongs here: names, types and defaults. What does not: the addresses themselves, which hold tokens: as with other
secrets the configuration keeps what the file says (`${NAME}`), and the value is read where it is needed
(`notifications.targets`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from scizor_dagster.config.base import MisplacedValue, Model

Event = Literal["run_failed", "held_for_human", "break", "halt", "watchdog", "daily_summary", "all_well"]
QUIET: tuple[Event, ...] = ("daily_summary", "all_well")
"""Off unless switched on: they come on a day on which nothing is wrong."""
PROGRAM = "program"
_VARIABLE = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")
_ADDRESS = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*)://")
_LONGEST_NAME = 48


def _as_mapping(value: Any) -> Any:
    if isinstance(value, str):
        return {"url": value}
    if isinstance(value, dict) and not set(value) <= {"url", "events"}:
        # Named by neither key nor value: either may be an address.
        raise ValueError("a target has the keys url and events, and no other")
    return value


class Target(Model):
    """One address that is told.

    Attributes:
        url: Of Apprise, such as `tgram://...`, or the variable that holds it, as `${NAME}`.
        events: What it is told of what is switched on; None is all of it.
    """

    url: SecretStr
    events: tuple[Event, ...] | None = None

    @model_validator(mode="after")
    def _is_an_address(self) -> Target:
        if not _VARIABLE.match(self.url.get_secret_value()) and not self._scheme:
            raise ValueError(
                "it must be an address of Apprise, such as tgram://..., or ${NAME} of the variable with it"
            )
        return self

    @property
    def _scheme(self) -> str:
        found = _ADDRESS.match(self.url.get_secret_value())
        return found.group(1) if found else ""

    def name(self, position: int) -> str:
        """What it goes by wherever it is spoken of: its variable, else its kind and its place in the list."""
        variable = _VARIABLE.match(self.url.get_secret_value())
        return (variable.group(1) if variable else f"{self._scheme}_{position + 1}")[:_LONGEST_NAME]


class NotificationRules(Model):
    """Who is told what.

    Attributes:
        targets: Addresses of Apprise. Without one, and without a program, a notice is a line in the log.
        program: Program and arguments that get each notice as JSON on their standard input; no shell reads them.
        events: Switches by event; what is not named is on, but for `QUIET`.
        timeout_seconds: How long one target may take. A tick of a sensor tells no more once half a minute has passed.
    """

    targets: tuple[Annotated[Target, BeforeValidator(_as_mapping)], ...] = ()
    program: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = None
    events: dict[Event, bool] = Field(default_factory=dict)
    timeout_seconds: Annotated[float, Field(gt=0.0, le=25.0)] = 10.0

    @model_validator(mode="after")
    def _each_target_once(self) -> NotificationRules:
        names: set[str] = set()
        for position, target in enumerate(self.targets):
            if target.name(position) in names:
                problem = f"the target {target.name(position)} stands twice; write it once, with all of its events"
                raise MisplacedValue(problem, "notifications", "targets", position)
            names.add(target.name(position))
        return self

    @property
    def tells_somebody(self) -> bool:
        return bool(self.targets) or self.program is not None

    def is_on(self, event: str) -> bool:
        """Whether the event is told at all. One that is no event of the configuration, such as a test, is."""
        switched = {str(name): is_on for name, is_on in self.events.items()}
        return switched.get(event, event not in QUIET)

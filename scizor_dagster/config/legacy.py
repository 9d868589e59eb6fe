"""Keys of the older signal-bus system: read so that its files load unchanged.

What belongs here: which key means what today, and which has no effect any more and why. What does
not: today's keys (`config`). A key that would have switched a safeguard off is refused, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scizor_dagster.errors import ConfigError
from scizor_dagster.strict_yaml import Key, YamlDocument

NO_EFFECT: dict[Key, str] = {
    ("alp_execution",): "orders are limited by risk.* and tracked to their end; see docs/configuration.md",
    ("alpaca",): "accounts.<name> names the broker, and keys come from APCA_API_KEY_ID and APCA_API_SECRET_KEY",
    ("logging",): "LOG_LEVEL sets the level; Dagster keeps the logs of each run",
    ("pricing",): "prices come from markets.<name>.provider, and a missing price is never replaced",
    ("scheduler",): "schedules run in exchange time; portfolios.<name>.signals chooses the strategy",
    ("mapping",): "a strategy names its mapping table in the manifest (key 'mapping')",
    ("execution", "enable_idempotency"): "every order carries a deterministic id; it cannot be switched off",
    ("execution", "out_orders"): "use scizor plan --out, scizor export, or exports.folder",
    ("execution", "out_plan"): "use scizor plan --out, scizor export, or exports.folder",
    ("idempotency", "enable_client_order_id"): "every order carries a deterministic id; it cannot be switched off",
    ("risk", "price_source"): "prices come from markets.<name>.provider",
    ("risk", "price_tolerance_pct"): "a price is used as it is, with its age; see max_price_age_sessions",
    ("risk", "reject_if_price_missing"): "an instrument without a price is never traded",
    ("weights", "allow_cash"): "what the weights leave over stays in cash",
}
REFUSED: dict[Key, tuple[Any, str]] = {
    ("risk", "reject_if_price_missing"): (False, "Remove the key: no price means no order."),
    ("idempotency", "enable_client_order_id"): (False, "Remove the key: every order carries an id."),
}
MOVED: dict[Key, str] = {
    ("watchdog", "notify"): "Write the program under notifications.program; it hears of every event, as "
    "docs/notifications.md says.",
    ("watchdog", "notify_when"): "Switch it on under notifications.events: {all_well: true}.",
    ("watchdog", "notify_timeout_seconds"): "Write it as notifications.timeout_seconds.",
}
"""Keys of an earlier version of this system, and where what they said is said now."""


@dataclass
class LegacyNotes:
    sentences: list[str] = field(default_factory=list)
    default_strategy: str | None = None


def take_legacy_keys(document: YamlDocument) -> tuple[dict[str, Any], LegacyNotes]:
    """Split a read file into today's values and notes on the older keys it holds.

    Raises:
        ConfigError: an older key asks for something that is not done any more, or has moved.
    """
    values = {key: dict(body) if isinstance(body, dict) else body for key, body in document.value.items()}
    for key, remedy in MOVED.items():
        if isinstance(section := values.get(key[0]), dict) and key[1] in section:
            raise ConfigError(f"{'.'.join(map(str, key))} has moved.", remedy=remedy, where=document.where(key))
    notes = LegacyNotes(default_strategy=_picked_strategy(values))
    for key, successor in NO_EFFECT.items():
        section = values if len(key) == 1 else values.get(key[0])
        if not isinstance(section, dict) or key[-1] not in section:
            continue
        if key in REFUSED and section[key[-1]] == REFUSED[key][0]:
            raise ConfigError(
                f"{key[-1]} = {section[key[-1]]} is not possible.", remedy=REFUSED[key][1], where=document.where(key)
            )
        del section[key[-1]]
        notes.sentences.append(f"{document.where(key)} has no effect: {successor}.")
    return values, notes


def _picked_strategy(values: dict[str, Any]) -> str | None:
    scheduler = values.get("scheduler")
    first = scheduler.get("m1") if isinstance(scheduler, dict) else None
    pick = first.get("pick") if isinstance(first, dict) else None
    return pick if isinstance(pick, str) else None

"""What is secret: the values that a configuration and an environment lead to, so that they can be blotted out.

What belongs here: the one answer to which texts are secrets. What does not: blotting them out
(`notifications.redaction`), and where that is done (logs, notices, answers of the services).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from scizor_dagster.errors import ScizorError
from scizor_dagster.notifications.redaction import Redaction, filled_in, referenced
from scizor_dagster.settings import Settings

if TYPE_CHECKING:
    from scizor_dagster.config import Config

_TELLING = re.compile(r"(?:KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?[0-9]*(?:_|$)", re.IGNORECASE)
"""Names of variables that hold a secret, whoever reads them."""
_IN_QUERY = re.compile(r"[?&](?:password|passwd|sslpassword)=([^&\s]+)", re.IGNORECASE)


def redaction_of(config: Config, settings: Settings) -> Redaction:
    """Blots out every secret that the configuration and its environment lead to."""
    from scizor_dagster.config import AlpacaConnection

    sources = [
        *config.accounts.values(),
        *(item for market in config.markets.values() for item in market.sources.values()),
    ]
    keys = [text for item in sources if isinstance(item, AlpacaConnection) for text in (item.key_id, item.secret_key)]
    environment = settings.environment
    targets = [target.url.get_secret_value() for target in config.notifications.targets]
    parts = [environment.get(name, "") for target in targets for name in referenced(target)]
    addresses = [*(filled_in(target, environment) for target in targets), *parts]
    return _redaction(environment, [filled_in(key, environment) for key in keys], addresses)


def redaction_of_environment(environment: Mapping[str, str]) -> Redaction:
    """Blots out what the environment alone shows to be secret: for a process without a configuration."""
    return _redaction(environment, (), ())


def late_redaction(environment: Mapping[str, str]) -> Callable[[str], str]:
    """Blots out as `redaction_of` does; the configuration is read when the first text comes, and not before.

    One that cannot be read leads to no secrets but those of the environment.
    """
    found: list[Redaction] = []

    def redact(text: str) -> str:
        if not found:
            # Imported here because a command that logs nothing needs no configuration.
            from scizor_dagster.config import load_config

            # What is logged while the configuration is read finds this one.
            found.append(redaction_of_environment(environment))
            try:
                settings = Settings.from_environment(environment)
                found.append(redaction_of(load_config(settings.config_path, settings.environment), settings))
            except ScizorError:
                # Whoever needs the configuration says what is wrong with it.
                found.append(found[0])
        return found[-1](text)

    return redact


def _redaction(environment: Mapping[str, str], secrets: Iterable[str], addresses: Iterable[str]) -> Redaction:
    named = [value for name, value in environment.items() if _TELLING.search(name)]
    # An address may be anybody's: its login alone is secret. The ledger's server is nobody else's business.
    logins = [word for value in environment.values() if "://" in value for word in _passwords(value)]
    return Redaction([*secrets, *named, *logins], [*addresses, environment.get("DATABASE_URL", "")])


def _passwords(address: str) -> list[str]:
    """Each password in an address, as it is written there and as it is meant."""
    try:
        login = urlsplit(address).password or ""
    except ValueError:
        return []
    return [form for word in (login, *_IN_QUERY.findall(address)) for form in (word, unquote(word))]

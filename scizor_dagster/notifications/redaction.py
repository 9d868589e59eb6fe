"""Keeping secrets out of what is told, logged or stored.

What belongs here: which values are secret, and blotting them out. It is the last line: no message is made of a secret
to begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

_SHORTEST = 6
_LONG = 16
_PIECES = re.compile(r"[/:@?&=#,;\s]+")
_LOGIN = re.compile(r"(://)[^/\s@]+@")
_API_KEY = re.compile(r"(scz_[0-9a-f]{12}_)[0-9a-f]{16,}")
"""A key of the HTTP services, after the part that names it; see `api.keys`."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
HIDDEN = "***"


class Redaction:
    """Blots out a set of secrets, the login of any address, and keys of the HTTP services."""

    def __init__(self, secrets: Iterable[str] = (), addresses: Iterable[str] = ()) -> None:
        addresses = list(addresses)
        whole = {text for text in (*secrets, *map(password_of, addresses)) if len(text) >= _SHORTEST}
        pieces = {piece for address in addresses for piece in (address, *_PIECES.split(address)) if _is_token(piece)}
        # The longest first: a part that is blotted out would keep the whole from being found.
        self._hidden = sorted(whole | pieces, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return _API_KEY.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1{HIDDEN}@", text))


def password_of(address: str) -> str:
    """The password in an address; empty where it has none, or is none."""
    try:
        return unquote(urlsplit(address).password or "")
    except ValueError:
        return ""


def _is_token(piece: str) -> bool:
    """Whether a piece of an address may be one: words, hosts and ports may stand in any sentence."""
    return len(piece) >= _LONG or (len(piece) > _SHORTEST and any(map(str.isdigit, piece)))


def referenced(text: str) -> list[str]:
    """Names of the variables that a text of the configuration refers to."""
    return _VARIABLE.findall(text)


def filled_in(text: str, environment: Mapping[str, str]) -> str:
    """The text with the value of each variable; one that is unset stays as it is written."""
    return _VARIABLE.sub(lambda found: environment.get(found.group(1), "") or found.group(0), text)

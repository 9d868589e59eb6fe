"""What TWS error codes mean for us, as data. Decide on the code: texts follow the language set in TWS.

What belongs here: the table, and the few texts that are needed within one code. What does not: what is
done about it.
"""

from __future__ import annotations

from enum import StrEnum


class Meaning(StrEnum):
    REFUSED = "refused"
    """Final for this order: it does not exist."""
    ALIVE = "alive"
    """Something is said of an order, which lives on."""
    ENDED = "ended"
    """The order has ended as its status says."""
    RECONCILE = "reconcile"
    """Says nothing certain of the order: look."""
    BACK_OFF = "back_off"
    """Too much was asked; later it may go."""
    NO_SUCH_CONTRACT = "no_such_contract"
    NO_DATA_RIGHTS = "no_data_rights"
    HISTORY = "history"
    """162: several things, told apart by text."""
    LOST = "lost"
    RESTORED = "restored"
    FARM_DOWN = "farm_down"
    INFORMATION = "information"
    CLIENT_ID_IN_USE = "client_id_in_use"
    PROGRAM_ERROR = "program_error"
    UNKNOWN = "unknown"


def _each(meaning: Meaning, *codes: int) -> dict[int, Meaning]:
    return dict.fromkeys(codes, meaning)


MEANINGS: dict[int, Meaning] = {
    **_each(Meaning.BACK_OFF, 100, 101, 322),
    **_each(Meaning.RECONCILE, 103, 104, 105, 135, 161, 10147, 10148),
    **_each(Meaning.NO_SUCH_CONTRACT, 200),
    **_each(Meaning.REFUSED, 110, 201, 203, 321, 388, 434, 460),
    **_each(Meaning.REFUSED, 163, 382, 383, 451, 10289, 10293),
    **_each(Meaning.REFUSED, *range(10241, 10253), 10318),
    **_each(Meaning.ENDED, 202),
    **_each(Meaning.HISTORY, 162),
    **_each(Meaning.ALIVE, 399, 404, 2109, 10349),
    **_each(Meaning.NO_DATA_RIGHTS, 354, 10089, 10090, 10091, 10168, 10186, 10197),
    **_each(Meaning.INFORMATION, 165, 366, 2104, 2106, 2107, 2108, 2119, 2158, 10167),
    **_each(Meaning.LOST, 1100, 1300, 2110),
    **_each(Meaning.RESTORED, 1101, 1102),
    **_each(Meaning.FARM_DOWN, 2103, 2105, 2157),
    **_each(Meaning.CLIENT_ID_IN_USE, 326),
    **_each(Meaning.PROGRAM_ERROR, 300, 309, 317, 320, 10268, 10269, 10270, 10314),
}

_PERMISSION = ("permission",)
_NO_DATA = ("no data", "returned no")
_PACING = ("pacing", "violation")
_CANCELLED = ("cancelled", "canceled")


class History(StrEnum):
    """What a 162 says."""

    PERMISSION = "permission"
    NO_DATA = "no_data"
    PACING = "pacing"
    CANCELLED = "cancelled"
    OTHER = "other"


def meaning(code: int) -> Meaning:
    """What a code means; an unknown one means that nothing is known. 2100 to 2199 are warnings."""
    known = MEANINGS.get(code)
    if known is not None:
        return known
    return Meaning.INFORMATION if 2100 <= code < 2200 else Meaning.UNKNOWN


def refuses_order(code: int) -> bool:
    """Whether an order that is answered with `code` does certainly not exist."""
    return meaning(code) in (Meaning.REFUSED, Meaning.NO_SUCH_CONTRACT)


def lives_on(code: int) -> bool:
    """Whether an order that is answered with `code` lives on, whatever the library makes of it."""
    return meaning(code) in (Meaning.ALIVE, Meaning.INFORMATION)


def history(text: str) -> History:
    """What a 162 says; a text in another language is `OTHER`, which is no statement about the data."""
    lower = text.lower()
    for fragments, word in (
        (_PERMISSION, History.PERMISSION),
        (_NO_DATA, History.NO_DATA),
        (_PACING, History.PACING),
        (_CANCELLED, History.CANCELLED),
    ):
        if any(fragment in lower for fragment in fragments):
            return word
    return History.OTHER

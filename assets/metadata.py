"""What a person sees of a materialization: tables, small pictures, counts.

What belongs here: rendering of frames as Dagster metadata. What does not: computing them.
"""

import base64
import math
from collections.abc import Sequence
from decimal import Decimal
from numbers import Number
from typing import Any

import dagster as dg
import pandas as pd

MAX_ROWS = 400
MAX_DIGITS = 9
"""After the point: more than any quantity has; an average may have any number of them."""
MAX_VIOLATIONS = 100


def table(
    frame: pd.DataFrame, columns: Sequence[str] | None = None, rest: int = 0, numbers: Sequence[str] = ()
) -> dg.MarkdownMetadataValue:
    """A frame as a table: what the UI shows best. Long ones end with a line that says how many are left out.

    One without a row says `none`, for a table of headings alone looks like a fault.

    `rest` is the number of rows that the frame itself leaves out; `numbers` are columns whose texts are exact numbers.
    Numbers stand on the right.
    """
    if frame.empty and not rest:
        return dg.MetadataValue.md("none")
    shown = frame[list(columns)] if columns else frame
    shown = shown.assign(**{name: shown[name].map(_exact).astype(object) for name in numbers})
    header = "| " + " | ".join(str(name) for name in shown.columns) + " |"
    ruler = "|" + "".join("---:|" if _is_of_numbers(values) else "---|" for _, values in shown.items())
    rows = [
        "| " + " | ".join(_cell(value) for value in row) + " |"
        for row in shown.head(MAX_ROWS).itertuples(index=False, name=None)
    ]
    rest += max(len(shown) - MAX_ROWS, 0)
    ending = [f"\n{rest} more rows."] if rest else []
    return dg.MetadataValue.md("\n".join([header, ruler, *rows, *ending]))


def violations_table(violations: Sequence[Any], file: str) -> dg.MarkdownMetadataValue:
    """Why a file is refused or held: place, value and remedy of the first `MAX_VIOLATIONS` findings."""
    names = ("rule", "sheet", "line", "column", "value", "problem", "remedy")
    rows = [
        {"file": getattr(item, "file", None) or file} | {name: getattr(item, name, None) for name in names}
        for item in violations
    ]
    frame = pd.DataFrame(rows[:MAX_VIOLATIONS], columns=["file", *names], dtype=object)
    return table(frame, rest=max(len(rows) - MAX_VIOLATIONS, 0))


def money(amount: Decimal | float) -> float:
    """An amount in whole cents."""
    return round(float(amount), 2)


def picture(png: bytes, caption: str) -> dg.MarkdownMetadataValue:
    """A PNG inside the metadata itself, so that it lives as long as the record."""
    data = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{data})")


def price_label(adjustment: str, synthetic: bool) -> str:
    """How prices are named wherever they show: adjusted or made-up ones never pass for raw market prices."""
    label = adjustment if adjustment == "raw" else f"{adjustment}-adjusted, never for live orders"
    return f"SYNTHETIC, {label}" if synthetic else label


def _cell(value: Any) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Decimal):
        text = _stripped(f"{value:,.{MAX_DIGITS}f}")
    elif isinstance(value, pd.Timestamp) and value.tz is None and value == value.normalize():
        # A session in a frame is a midnight.
        text = value.date().isoformat()
    else:
        text = _number(value) if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: float) -> str:
    """To six digits, and never fewer than those of whole cents."""
    return _stripped(f"{value:,.2f}") if abs(value) >= 1000 else f"{value:.6g}"


def _stripped(text: str) -> str:
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _exact(text: str | None) -> Decimal | None:
    return None if text is None or text != text else Decimal(text)


def _is_of_numbers(values: pd.Series) -> bool:
    known = [value for value in values if value is not None and value == value]
    return bool(known) and all(isinstance(value, Decimal | Number) and not isinstance(value, bool) for value in known)

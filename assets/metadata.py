"""What a person sees of a materialization: tables, small pictures, counts.

What belongs here: rendering of frames as Dagster metadata. What does not: computing them.
"""

import base64
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import dagster as dg
import pandas as pd

MAX_ROWS = 400


def table(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> dg.MarkdownMetadataValue:
    """A frame as a table: what the UI shows best. Long ones end with a line that says how many are left out."""
    shown = frame[list(columns)] if columns else frame
    header = "| " + " | ".join(str(name) for name in shown.columns) + " |"
    ruler = "|" + "---|" * len(shown.columns)
    rows = [
        "| " + " | ".join(_cell(value) for value in row) + " |"
        for row in shown.head(MAX_ROWS).itertuples(index=False, name=None)
    ]
    rest = [f"\n{len(shown) - MAX_ROWS} more rows."] if len(shown) > MAX_ROWS else []
    return dg.MetadataValue.md("\n".join([header, ruler, *rows, *rest]))


def violations_table(violations: Iterable[Any]) -> dg.MarkdownMetadataValue:
    """Every violation of a refused file, with line, value and remedy."""
    names = ("rule", "line", "column", "value", "problem", "remedy")
    rows = [{name: getattr(item, name, "") for name in names} for item in violations]
    return table(pd.DataFrame(rows, columns=list(names)))


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
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Decimal):
        text = f"{value.normalize():f}"
    else:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

"""The strategy manifest: which strategies there are, and how each one's file is to be read.

What belongs here: names, types and defaults of `config/strategy_manifest.yaml`. What does not: reading
weight files (`readers`) and the rules on their content (`rules`).

Paths are relative to the manifest's folder. Keys of the older system (`id`, `path`, `format`,
`column_mapping` from their column to ours) keep their names and meaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from scizor_dagster.config import UNLIMITED, MappingTable, Model, Name, Positive, validated
from scizor_dagster.errors import ConfigError
from scizor_dagster.signals.spec import DateOrder, Format, Layout, ReadSpec, normal
from scizor_dagster.strict_yaml import YamlDocument, read_yaml

Rebalance = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]
"""How often a strategy decides anew; see `strategies.rebalancing`."""
_OF_COMPUTED = frozenset({
    "id", "function", "parameters", "rebalance", "on_unknown_id", "on_retired_asset", "max_quarantined_weight",
    "max_total_weight", "guards",
})  # fmt: skip
OUR_COLUMNS = ("trade_date", "asset_id", "target_weight")


def is_pattern(path: str) -> bool:
    """Whether the name of a file, not its folder, is a pattern for several."""
    return any(character in Path(path).name for character in "*?[")


class Expected(Model):
    """What a delivery must be, where the manifest is written anew for each: `rows` below the header."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    rows: Annotated[int, Field(ge=1)] | None = None


class Guards(Model):
    """What holds a session's weights for a person to approve, though they are well-formed.

    Attributes:
        max_turnover: Largest share of the portfolio that may be bought, or sold, against the weights before.
        all_zero: Weights that sell everything.
        one_name: Weights that put the portfolio into one asset.
        max_name_change: Largest change of one asset's weight.
    """

    max_turnover: Positive | Literal["unlimited"] = 0.95
    all_zero: Literal["hold", "accept"] = "hold"
    one_name: Literal["hold", "accept"] = "hold"
    max_name_change: Positive | Literal["unlimited"] = UNLIMITED


class StrategyEntry(Model):
    """One strategy.

    Attributes:
        path: The weight file; absolute once loaded. A name with `*`, `?` or `[` is a pattern: every file that it
            matches belongs to the strategy, one per day for instance (see `deliveries`).
        layout: `long`: a row per date and asset; `wide`: a row per date and a column per asset; `auto`: wide where
            nothing but tickers and cash stands beside the dates (`ReadSpec.settled`).
        column_mapping: Their column to ours (`gvkey: asset_id`); one of ours that is not named is
            looked for under its own name.
        sheet: Worksheet of a workbook; needed only where more than one is visible, or the first one is hidden.
        delimiter: Between the fields of a CSV.
        decimal: The mark before the decimals of a number written as text.
        percent: Weights are written in percent: `50` and `50%` are 0.5.
        blank_is_zero: A blank cell of a wide file means that the asset is not held; without it, it is refused.
        cash_column: Column of a wide file (in any case) that is cash, not an asset. Where it is named, also the id of
            the rows of a long file that are.
        unallocated: Where weights sum to less than 1: `cash` leaves the rest in cash; `refuse` refuses the
            file. Unset leaves it in cash too, with a warning, for nobody has said so.
        date_order: `ascending` refuses dates out of order: mixed runs look like that.
        every_session: Every session between the first and the last date must have weights.
        require: Header to the value that every row has under it (`account: U1234567`). A column `strategy`
            or `strategy_id` must hold this entry's id unless it is named here.
        expect: Hash and rows of the one delivery that is accepted.
        mapping: Table from the file's ids to tickers; without one an id is itself the ticker.
        weights_dated: `trade_session`: weights of D trade in D (or the next session, where D is none);
            `signal_close`: they were made on the close of D and trade in the next session after it.
        on_unknown_id: What an id without an instrument does: refuse the session's weights, or only set that
            id aside (no order, what is held is kept, the weight stays in cash).
        on_retired_asset: What an asset that is not traded any more does; as above.
        max_quarantined_weight: Sum of absolute weights that may be set aside in one session. Above it
            the session is refused: what is left no longer resembles what the strategy asked for.
        max_total_weight: A stricter maximum than the portfolio's; a looser one has no effect.
        guards: What is so unusual that a person must say that it is meant.
        function: A strategy in Python, or a record of one, that computes the weights on the close before each session:
            in the place of `path`, `format` and everything else that says how a file is read.
        parameters: Of the function; what is not named has its default.
        rebalance: When it decides anew: in every session, or in the first of each week, month, quarter or year. Unset
            is what its record says, else `daily`.
    """

    id: Name
    function: Name | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    rebalance: Rebalance | None = None
    path: Annotated[str, Field(min_length=1)]
    format: Format
    layout: Layout = "auto"
    column_mapping: dict[str, Literal["trade_date", "asset_id", "target_weight"]] = Field(default_factory=dict)
    sheet: str | None = None
    delimiter: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    percent: bool = False
    blank_is_zero: bool = False
    cash_column: Annotated[str, Field(min_length=1)] = "cash"
    unallocated: Literal["cash", "refuse"] | None = None
    date_order: DateOrder = "ascending"
    every_session: bool = False
    require: dict[str, str] = Field(default_factory=dict)
    expect: Expected | None = None
    mapping: MappingTable | None = None
    weights_dated: Literal["trade_session", "signal_close"] = "trade_session"
    on_unknown_id: Literal["refuse", "quarantine"] = "refuse"
    on_retired_asset: Literal["refuse", "quarantine"] = "quarantine"
    max_quarantined_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    max_total_weight: Positive | None = None
    guards: Guards = Guards()

    @model_validator(mode="before")
    @classmethod
    def _is_computed(cls, value: Any) -> Any:
        """A computed file has one form, so that no key says how it is read."""
        if not isinstance(value, dict) or not value.get("function"):
            named = [key for key in ("parameters", "rebalance") if isinstance(value, dict) and value.get(key)]
            if named:
                raise ValueError(f"'{named[0]}' goes with 'function'")
            return value
        odd = sorted(value.keys() - _OF_COMPUTED)
        if odd:
            raise ValueError(f"'{odd[0]}' is of a file; with 'function' nothing says how one is read")
        return {**value, "path": f"signals/{value.get('id')}/*.csv", "format": "csv", "unallocated": "cash"}

    @field_validator("path")
    @classmethod
    def _stays_below(cls, value: str) -> str:
        if not Path(value).is_absolute() and ".." in Path(value).parts:
            raise ValueError("'..' leads out of the manifest's folder; write an absolute path instead")
        return value

    @field_validator("column_mapping")
    @classmethod
    def _one_column_each(cls, value: dict[str, str]) -> dict[str, str]:
        twice = [name for name, count in Counter(value.values()).items() if count > 1]
        if twice:
            raise ValueError(f"two columns are mapped to {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> StrategyEntry:
        if is_pattern(self.path) and (self.every_session or self.expect):
            raise ValueError("'every_session' and 'expect' are for one file; 'path' is a pattern")
        if self.sheet is not None and self.format != "xlsx":
            raise ValueError("'sheet' is only for format xlsx")
        if self.delimiter != "," and self.format != "csv":
            raise ValueError("'delimiter' is only for format csv")
        if self.blank_is_zero and self.layout == "long":
            raise ValueError("'blank_is_zero' is only for layout wide")
        if self.layout == "wide" and set(self.column_mapping.values()) - {"trade_date"}:
            raise ValueError("with layout wide only the column of dates is mapped; the others are assets")
        if len({normal(name) for name in self.require}) < len(self.require):
            raise ValueError("'require' names a column twice")
        shared = [name for name, count in Counter(self.columns.values()).items() if count > 1]
        if shared:
            raise ValueError(f"the column '{shared[0]}' would be read as two of {', '.join(OUR_COLUMNS)}")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Our column to the header that the file writes it under."""
        theirs: dict[str, str] = {ours: name for name, ours in self.column_mapping.items()}
        return {ours: theirs.get(ours, ours) for ours in OUR_COLUMNS}

    @property
    def read_spec(self) -> ReadSpec:
        """The part of the entry that says how the file's bytes are read."""
        return ReadSpec(
            strategy=self.id,
            format=self.format,
            columns=self.columns,
            layout=self.layout,
            sheet=self.sheet,
            delimiter=self.delimiter,
            decimal=self.decimal,
            percent=self.percent,
            blank_is_zero=self.blank_is_zero,
            cash_column=self.cash_column,
            cash_rows="cash_column" in self.model_fields_set,
            require=self.require,
        )


class Manifest(Model):
    strategies: tuple[StrategyEntry, ...] = Field(min_length=1)
    _source: str = PrivateAttr(default="")
    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    def where(self, name: str) -> str:
        """File and line of the entry with this id."""
        return self._places.get(name, self._source)

    def strategy(self, name: str) -> StrategyEntry:
        """The entry with this id.

        Raises:
            ConfigError: there is none; the known ids are named.
        """
        for entry in self.strategies:
            if entry.id == name:
                return entry
        known = ", ".join(entry.id for entry in self.strategies)
        raise ConfigError(f"There is no strategy '{name}'.", remedy=f"Use one of: {known}.", where=self._source)


def load_manifest(path: Path, environment: Mapping[str, str]) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The YAML file.
        environment: The variables that `${NAME}` in it may use.

    Raises:
        ConfigError: with file, line and key of what is wrong.
    """
    document = read_yaml(path, environment)
    if not isinstance(document.value, dict):
        raise ConfigError(
            "The file must have the key 'strategies'.",
            remedy="See config/strategy_manifest.yaml.",
            where=str(path),
        )
    _refuse_duplicate_ids(document)
    manifest = validated(Manifest, document.value, document)
    folder = path.resolve().parent
    # What is computed is written where everything else that Scizor writes is.
    home = Path(environment.get("SCIZOR_HOME", folder))
    entries = tuple(_resolved(entry, folder if entry.function is None else home) for entry in manifest.strategies)
    manifest = manifest.model_copy(update={"strategies": entries})
    manifest._source = str(path)
    places = {entry.id: document.where(("strategies", at, "id")) for at, entry in enumerate(entries)}
    manifest._places = {name: where.partition(": ")[0] for name, where in places.items()}
    return manifest


def _refuse_duplicate_ids(document: YamlDocument) -> None:
    strategies = document.value.get("strategies")
    seen: dict[Any, int] = {}
    for index, entry in enumerate(strategies if isinstance(strategies, list) else []):
        name = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in seen:
            first = document.where(("strategies", seen[name], "id"))
            raise ConfigError(
                f"The strategy '{name}' stands twice (first at {first}).",
                remedy="Keep one of the two, or give one another id.",
                where=document.where(("strategies", index, "id")),
            )
        if isinstance(name, str):
            seen[name] = index


def _resolved(entry: StrategyEntry, folder: Path) -> StrategyEntry:
    changes: dict[str, Any] = {"path": str(folder / entry.path)}
    if entry.mapping is not None:
        changes["mapping"] = entry.mapping.model_copy(update={"file": str(folder / entry.mapping.file)})
    return entry.model_copy(update=changes)

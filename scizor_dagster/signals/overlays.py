"""Changes to the combined targets, in the order of the configuration.

What belongs here: one function per overlay, and what it says of itself. What does not: combining strategies
(`blend`), limits that refuse (`risk`, `planning`).

An overlay changes the weight of a target, and every contribution to it by the same factor, so that they go on
summing to it exactly. What it takes away stays in cash. Targets that are set aside count like the others: what
they would have taken is not free for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from scizor_dagster.config import Overlay
from scizor_dagster.signals.arithmetic import decimal_of, exact_arithmetic, plain_text, scaled
from scizor_dagster.signals.targets import TargetWeight

UNKNOWN_SECTOR = "unknown"
_ZERO, _ONE = Decimal(0), Decimal(1)
_MOST_NAMED = 5


@dataclass(frozen=True)
class _Change:
    """A target's new weight, and the factor (`numerator / denominator`) that its contributions go by."""

    weight: Decimal
    numerator: Decimal
    denominator: Decimal


@exact_arithmetic()
def apply_overlays(
    targets: tuple[TargetWeight, ...], overlays: Iterable[Overlay], sectors: Mapping[str, str]
) -> tuple[tuple[TargetWeight, ...], tuple[str, ...]]:
    """The changed targets, each with a note of what changed it, and a sentence for each overlay that did.

    Args:
        targets: Combined.
        overlays: In the order to apply them.
        sectors: By ticker; a blank or absent one is the sector `unknown`.
    """
    sentences: list[str] = []
    for overlay in overlays:
        name, changes, remarks = _changes(targets, overlay, sectors)
        changed = tuple(_changed(row, change, name) for row, change in zip(targets, changes, strict=True))
        sentences += [*remarks, *_said(name, targets, changed)]
        targets = changed
    return targets, tuple(sentences)


def _changes(
    targets: Sequence[TargetWeight], overlay: Overlay, sectors: Mapping[str, str]
) -> tuple[str, list[_Change], list[str]]:
    if overlay.scale_to_gross is not None:
        value = decimal_of(overlay.scale_to_gross)
        return f"scale_to_gross {plain_text(value)}", _scaled_to(targets, value, up=overlay.up), []
    if overlay.cap_per_name is not None:
        cap = decimal_of(overlay.cap_per_name)
        capped = [_to(row, min(max(row.target_weight, -cap), cap)) for row in targets]
        return f"cap_per_name {plain_text(cap)}", capped, []
    if overlay.cap_per_sector is not None:
        cap = decimal_of(overlay.cap_per_sector)
        name = f"cap_per_sector {plain_text(cap)}"
        return name, _capped_by_sector(targets, cap, sectors), _without_sector(name, targets, sectors)
    return "long_only", [_to(row, max(row.target_weight, _ZERO)) for row in targets], []


def _to(row: TargetWeight, weight: Decimal) -> _Change:
    return _Change(weight, weight, row.target_weight) if row.target_weight else _Change(weight, _ONE, _ONE)


def _scaled_to(targets: Sequence[TargetWeight], gross: Decimal, *, up: bool) -> list[_Change]:
    """Scale so that the absolute weights sum to `gross` exactly, but not up unless asked to."""
    sizes = [abs(row.target_weight) for row in targets]
    total = sum(sizes, _ZERO)
    if total == 0 or total == gross or (total < gross and not up):
        return [_Change(row.target_weight, _ONE, _ONE) for row in targets]
    made = scaled(sizes, gross, total, gross)
    return [
        _Change(-size if row.target_weight < 0 else size, gross, total) for row, size in zip(targets, made, strict=True)
    ]


def _capped_by_sector(targets: Sequence[TargetWeight], cap: Decimal, sectors: Mapping[str, str]) -> list[_Change]:
    places: dict[str, list[int]] = {}
    for index, row in enumerate(targets):
        places.setdefault(_sector(row, sectors), []).append(index)
    changes: dict[int, _Change] = {}
    for indices in places.values():
        made = _scaled_to([targets[index] for index in indices], cap, up=False)
        changes |= dict(zip(indices, made, strict=True))
    return [changes[index] for index in range(len(targets))]


def _sector(row: TargetWeight, sectors: Mapping[str, str]) -> str:
    return sectors.get(row.symbol) or UNKNOWN_SECTOR


def _without_sector(name: str, targets: Sequence[TargetWeight], sectors: Mapping[str, str]) -> list[str]:
    unknown = [row for row in targets if _sector(row, sectors) == UNKNOWN_SECTOR]
    if not unknown:
        return []
    return [f"Overlay {name}: no sector is known of {_named(unknown)}; together they count as one."]


def _changed(row: TargetWeight, change: _Change, name: str) -> TargetWeight:
    if change.numerator == change.denominator and change.weight == row.target_weight:
        return row
    parts = [item.contribution for item in row.contributions]
    made = scaled(parts, change.numerator, change.denominator, change.weight)
    contributions = tuple(replace(item, contribution=part) for item, part in zip(row.contributions, made, strict=True))
    note = row.note
    if change.weight != row.target_weight:
        said = f"{name}: {float(row.target_weight):.6g} becomes {float(change.weight):.6g}"
        note = ". ".join(filter(None, (note, said)))
    return replace(row, target_weight=change.weight, contributions=contributions, note=note)


def _said(name: str, before: Sequence[TargetWeight], after: Sequence[TargetWeight]) -> list[str]:
    changed = [old for old, new in zip(before, after, strict=True) if old.target_weight != new.target_weight]
    if not changed:
        return []
    gross = [float(sum((abs(row.target_weight) for row in rows), _ZERO)) for rows in (before, after)]
    return [
        f"Overlay {name} changed {len(changed)} of {len(before)} targets ({_named(changed)}); "
        f"gross {gross[0]:.6g} becomes {gross[1]:.6g}."
    ]


def _named(rows: Sequence[TargetWeight]) -> str:
    names = [row.symbol or f"id {row.asset_ids[0]}" for row in rows]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more

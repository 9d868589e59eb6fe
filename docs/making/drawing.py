"""Drawings as SVG text: boxes in layers with arrows between them, and messages between parties.

What belongs here: where things stand, and how they look; colours are those of the page (`docs/assets/scizor.css`), so
that a drawing follows light and dark. What does not: what is drawn (`diagrams`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDE = 7.7
"""Pixels of a letter in a box."""
HIGH = 32
PAD = 24
STEPS = 24
READABLE = 0.6
"""The smallest scale of a drawing."""


@dataclass(frozen=True)
class Box:
    """`kind` is a class of the style sheet; `link` an address that a click leads to."""

    name: str
    kind: str = ""
    label: str = ""
    link: str = ""

    @property
    def text(self) -> str:
        return self.label or self.name

    @property
    def width(self) -> float:
        return max(56.0, len(self.text) * WIDE + 22)


@dataclass(frozen=True)
class Arrow:
    start: str
    end: str
    kind: str = ""


def layered(
    boxes: Sequence[Box], arrows: Iterable[Arrow], title: str, *, downwards: bool = False, gap: int = 56
) -> str:
    """Boxes in layers from the left to the right, or downwards, each after all that lead to it.

    Arrows that lead back are drawn and do not count for the layers.
    """
    by_name = {box.name: box for box in boxes}
    drawn = [arrow for arrow in arrows if arrow.start in by_name and arrow.end in by_name and arrow.start != arrow.end]
    layers = _layers([box.name for box in boxes], drawn)
    ordered = _ordered(layers, drawn)
    places = _placed(ordered, by_name, gap, downwards)
    width = max(x + w / 2 for x, _, w in places.values()) + PAD
    height = max(y for _, y, _ in places.values()) + HIGH / 2 + PAD
    lines = [_arrow(places[arrow.start], places[arrow.end], arrow.kind, downwards) for arrow in drawn]
    return _svg(width, height, title, [*lines, *(_box(by_name[name], *places[name]) for name in by_name)])


def _layers(names: Sequence[str], arrows: Sequence[Arrow]) -> dict[str, int]:
    """The longest way to each box, over arrows that close no ring (in the order of the boxes)."""
    after: dict[str, list[str]] = defaultdict(list)
    for arrow in arrows:
        after[arrow.start].append(arrow.end)
    layer = dict.fromkeys(names, 0)
    done: set[str] = set()
    order: list[str] = []

    def visit(name: str, on_the_way: frozenset[str]) -> None:
        if name in done:
            return
        for other in after[name]:
            if other not in on_the_way:
                visit(other, on_the_way | {other})
        done.add(name)
        order.append(name)

    for name in names:
        visit(name, frozenset({name}))
    rank = {name: place for place, name in enumerate(reversed(order))}
    for name in reversed(order):
        for other in after[name]:
            if rank[other] > rank[name]:
                layer[other] = max(layer[other], layer[name] + 1)
    return layer


def _ordered(layers: Mapping[str, int], arrows: Sequence[Arrow]) -> list[list[str]]:
    """Names by layer, each near the middle of what it is joined with: fewer arrows cross."""
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for name, layer in layers.items():
        rows[layer].append(name)
    joined: dict[str, list[str]] = defaultdict(list)
    for arrow in arrows:
        joined[arrow.start].append(arrow.end)
        joined[arrow.end].append(arrow.start)
    for step in range(STEPS):
        sweep = rows if step % 2 == 0 else rows[::-1]
        place = {name: index / max(len(row), 1) for row in rows for index, name in enumerate(row)}
        for row in sweep:
            means = {name: _mean([place[other] for other in joined[name]], place[name]) for name in row}
            row.sort(key=means.__getitem__)
            place |= {name: index / max(len(row), 1) for index, name in enumerate(row)}
    return rows


def _mean(values: Sequence[float], without: float) -> float:
    return sum(values) / len(values) if values else without


def _placed(
    rows: Sequence[Sequence[str]], boxes: Mapping[str, Box], gap: int, downwards: bool
) -> dict[str, tuple[float, float, float]]:
    """Middle and width of each box."""
    places: dict[str, tuple[float, float, float]] = {}
    if downwards:
        spans = [sum(boxes[name].width for name in row) + 20.0 * (len(row) - 1) for row in rows]
        for number, row in enumerate(rows):
            left = PAD + (max(spans) - spans[number]) / 2
            for name in row:
                places[name] = (left + boxes[name].width / 2, PAD + HIGH / 2 + number * (HIGH + gap), boxes[name].width)
                left += boxes[name].width + 20.0
        return places
    most, left = max(map(len, rows)), float(PAD)
    for row in rows:
        width = max(boxes[name].width for name in row)
        top = PAD + HIGH / 2 + (most - len(row)) * (HIGH + 16) / 2
        for index, name in enumerate(row):
            places[name] = (left + width / 2, top + index * (HIGH + 16), width)
        left += width + gap
    return places


Place = tuple[float, float, float]


def _arrow(start: Place, end: Place, kind: str, downwards: bool) -> str:
    if downwards:
        way = 1 if end[1] >= start[1] else -1
        x1, y1, x2, y2 = start[0], start[1] + way * HIGH / 2, end[0], end[1] - way * (HIGH / 2 + 6)
        bend = (y2 - y1) / 2
        path = f"M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} {x2:.0f},{y2:.0f}"
    else:
        way = 1 if end[0] >= start[0] else -1
        x1, y1, x2, y2 = start[0] + way * start[2] / 2, start[1], end[0] - way * (end[2] / 2 + 6), end[1]
        bend = max(abs(x2 - x1) / 2, 24) * way
        path = f"M{x1:.0f},{y1:.0f} C{x1 + bend:.0f},{y1:.0f} {x2 - bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    return f'<path class="arrow {kind}" d="{path}" marker-end="url(#head)"/>'


def _box(box: Box, x: float, y: float, width: float) -> str:
    shape = f'<rect x="{x - width / 2:.0f}" y="{y - HIGH / 2:.0f}" width="{width:.0f}" height="{HIGH}" rx="6"/>'
    text = f'<text x="{x:.0f}" y="{y + 4.5:.0f}" text-anchor="middle">{escape(box.text)}</text>'
    drawn = f'<g class="box {box.kind}">{shape}{text}</g>'
    return f'<a href="{escape(box.link)}">{drawn}</a>' if box.link else drawn


@dataclass(frozen=True)
class Message:
    """From one party to another; to itself it is a note."""

    start: str
    end: str
    text: str
    kind: str = ""


def sequence(parties: Sequence[str], messages: Sequence[Message], title: str) -> str:
    """Parties side by side, messages from the top to the bottom."""
    apart, row, top = 260.0, 40.0, 66.0
    at = {name: PAD + 80 + index * apart for index, name in enumerate(parties)}
    height = top + row * (len(messages) + 1)
    drawn = [
        f'<line class="life" x1="{x:.0f}" y1="{PAD + HIGH}" x2="{x:.0f}" y2="{height - 10:.0f}"/>' for x in at.values()
    ]
    drawn += [_box(Box(name, "party"), x, PAD + HIGH / 2, max(120.0, len(name) * WIDE + 24)) for name, x in at.items()]
    for number, message in enumerate(messages):
        drawn.append(_message(message, at, top + row * (number + 1)))
    return _svg(max(at.values()) + 230, height + PAD / 2, title, drawn)


def _message(message: Message, at: Mapping[str, float], y: float) -> str:
    x1, x2 = at[message.start], at[message.end]
    text = escape(message.text)
    if message.start == message.end:
        return f'<text class="note {message.kind}" x="{x1 + 12:.0f}" y="{y + 4:.0f}">{text}</text>'
    end = x2 + (-6 if x2 > x1 else 6)
    line = f'<path class="arrow {message.kind}" d="M{x1:.0f},{y:.0f} L{end:.0f},{y:.0f}" marker-end="url(#head)"/>'
    return (
        line
        + f'<text class="{message.kind}" x="{(x1 + x2) / 2:.0f}" y="{y - 7:.0f}" text-anchor="middle">{text}</text>'
    )


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
    )
    # Not smaller than this, so that its words can be read; what is wider than the page is scrolled.
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" style="min-width: {width * READABLE:.0f}px"'
    body = "".join(parts)
    return (
        f'<div class="drawing"><svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" {size}>'
        f"<title>{escape(title)}</title>{head}{body}</svg></div>"
    )

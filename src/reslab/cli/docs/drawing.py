"""The plan of the code as an SVG: a band for each floor, a box for each room, an arrow from each room to those it imports.

An arrow that passes a floor has a place of its own there, between the boxes (Sugiyama, Tagawa, Toda, "Methods for Visual
Understanding of Hierarchical System Structures", 1981): places are ordered by the mean of their neighbours', then moved towards it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from reslab.cli.docs.architecture import Arrows, Room

BOX, THREAD, GAP = 128, 10, 26  # widths in pixels: of a box, of a passing arrow, between two places
HEIGHT, PITCH = 44, 96  # of a box; from floor to floor
MARGIN = 30
SWEEPS = 24
STYLE = """\
.band { fill: #8883; } .box { fill: #fff; stroke: #57606a; } .name { fill: #1f2328; font: 600 14px sans-serif; }
.count { fill: #57606a; font: 12px sans-serif; } .arrow { fill: none; stroke: #57606a; stroke-width: 1.3; } .head { fill: #57606a; }
@media (prefers-color-scheme: dark) {
.box { fill: #161b22; stroke: #9198a1; } .name { fill: #f0f6fc; } .count { fill: #9198a1; }
.arrow { stroke: #9198a1; } .head { fill: #9198a1; } }"""


@dataclass(eq=False)
class Place:
    """A room, or an arrow on its way past a floor; `x` is its middle."""

    room: str
    x: float = 0.0

    @property
    def width(self) -> int:
        return BOX if self.room else THREAD


Route = list[Place]  # from the importing room to the imported one, a place a floor


def svg(floors: Sequence[Sequence[str]], rooms: Mapping[str, Room], arrows: Arrows) -> str:
    """The drawing of the rooms on their floors with these arrows, which all go down."""
    rows = [[Place(name) for name in floor] for floor in floors]
    routes = list(_routes(rows, arrows))
    _arrange(rows, routes)
    left = min(place.x - place.width / 2 for row in rows for place in row)
    for place in (place for row in rows for place in row):
        place.x += MARGIN - left
    width = max(place.x + place.width / 2 for row in rows for place in row) + MARGIN
    height = PITCH * (len(rows) - 1) + HEIGHT + 2 * MARGIN
    parts = [*_bands(len(rows), width), *(_arrow(route, _floor(rows, route[0])) for route in routes), *_boxes(rows, rooms)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" aria-label="Rooms and imports">'
    marker = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    defs = f'<defs>{marker}<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
    return "\n".join([head, f"<style>\n{STYLE}\n</style>", defs, *parts, "</svg>"]) + "\n"


def _routes(rows: list[list[Place]], arrows: Arrows) -> Iterable[Route]:
    """The way of each arrow; puts its places on the floors that it passes into `rows`."""
    at = {place.room: (floor, place) for floor, row in enumerate(rows) for place in row}
    for source, targets in arrows.items():
        for target in sorted(targets, key=lambda name: list(at).index(name)):
            (first, start), (last, end) = at[source], at[target]
            passing = [Place("") for _ in range(first + 1, last)]
            for row, place in zip(rows[first + 1 : last], passing, strict=True):
                row.append(place)
            yield [start, *passing, end]


def _arrange(rows: list[list[Place]], routes: list[Route]) -> None:
    """Order each floor and set every `x`."""
    near: dict[Place, list[Place]] = {place: [] for row in rows for place in row}
    for route in routes:
        for upper, lower in pairwise(route):
            near[upper].append(lower)
            near[lower].append(upper)
    for row in rows:
        _pack(row)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = {place: _mean([other.x for other in near[place]], place.x) for place in row}
            if sweep < SWEEPS // 2:
                row.sort(key=wanted.__getitem__)
            for place in row:
                place.x = wanted[place]
            _pack(row)


def _pack(row: list[Place]) -> None:
    """Move the places of a floor apart until none overlap, in their order, and their middle to where it was."""
    middle = _mean([place.x for place in row])
    for before, place in pairwise(row):
        place.x = max(place.x, before.x + (before.width + place.width) / 2 + GAP)
    shift = middle - _mean([place.x for place in row])
    for place in row:
        place.x += shift


def _mean(values: Sequence[float], default: float = 0.0) -> float:
    return sum(values) / len(values) if values else default


def _floor(rows: list[list[Place]], place: Place) -> int:
    return next(floor for floor, row in enumerate(rows) if place in row)


def _top(floor: int) -> float:
    return MARGIN + PITCH * floor


def _bands(count: int, width: float) -> Iterable[str]:
    for floor in range(count):
        yield f'<rect class="band" x="8" y="{_top(floor) - 10}" width="{width - 16:.0f}" height="{HEIGHT + 20}" rx="6"/>'


def _arrow(route: Route, floor: int) -> str:
    """A curve from under the first box to the top of the last, straight past the boxes between."""
    path = f"M{route[0].x:.0f} {_top(floor) + HEIGHT}"
    for step, place in enumerate(route[1:], 1):
        start, end = _top(floor + step - 1) + HEIGHT, _top(floor + step)
        bend = (start + end) / 2
        path += f"C{route[step - 1].x:.0f} {bend} {place.x:.0f} {bend} {place.x:.0f} {end}" + (
            "" if place.room else f"V{end + HEIGHT}"
        )
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'


def _boxes(rows: list[list[Place]], rooms: Mapping[str, Room]) -> Iterable[str]:
    for floor, row in enumerate(rows):
        for place in (place for place in row if place.room):
            room, y = rooms[place.room], _top(floor)
            count = f"{len(room.files)} files" if room.path.is_dir() else "1 file"
            yield (
                f'<g text-anchor="middle"><title>{escape(room.sentence)}</title>'
                f'<rect class="box" x="{place.x - BOX / 2:.0f}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="5"/>'
                f'<text class="name" x="{place.x:.0f}" y="{y + 19}">{place.room}</text>'
                f'<text class="count" x="{place.x:.0f}" y="{y + 35}">{count}</text></g>'
            )

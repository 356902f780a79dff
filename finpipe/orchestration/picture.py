"""The asset graph as an SVG picture: a column per group, data flowing from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from finpipe.orchestration.graph import Graph

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, TOP = 190, 38, 84, 20, 28, 74
COLOURS = {
    "source": "#7b8794",
    "market": "#2f6fb0",
    "features": "#2a8a74",
    "learning": "#8a6d1f",
    "walk_forward": "#a2522d",
    "backtest": "#7a4a9c",
    "prices": "#2f6fb0",
    "usage": "#7b8794",
    "cache": "#2a8a74",
    "portfolio": "#7a4a9c",
}


@dataclass(frozen=True, slots=True)
class _Box:
    key: str
    group: str
    x: float
    y: float
    partitions: tuple[str, ...]


def asset_graph_svg(graph: Graph) -> str:
    """Return the graph as one SVG document, readable on light and dark pages."""
    boxes = _place(graph)
    height = max(box.y for box in boxes.values()) + HEIGHT + MARGIN
    width = max(box.x for box in boxes.values()) + WIDTH + MARGIN
    edges = [
        _edge(boxes[upstream], boxes[next(iter(stage.outputs))])
        for stage in graph.stages
        for upstream in stage.upstream
        if upstream in boxes
    ]
    headings = {box.group: box.x for box in boxes.values()}
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            'font-family="system-ui, sans-serif" role="img" aria-label="The asset graph of finpipe">',
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="12" fill="#ffffff"/>',
            *edges,
            *(
                f'<text x="{x + WIDTH / 2:.0f}" y="42" text-anchor="middle" font-size="15" font-weight="600" '
                f'fill="{COLOURS[group]}">{escape(group.replace("_", " "))}</text>'
                for group, x in headings.items()
            ),
            *(_draw(box) for box in boxes.values()),
            "</svg>",
            "",
        ]
    )


def _place(graph: Graph) -> dict[str, _Box]:
    columns: dict[str, list[tuple[str, tuple[str, ...]]]] = {group: [] for group in COLOURS}
    for source in graph.sources:
        columns["source"].append((source.key, ()))
    for stage in graph.stages:
        for key in stage.outputs:
            columns[stage.group].append((key, stage.dimensions))
    tallest = max(len(column) for column in columns.values())
    boxes: dict[str, _Box] = {}
    for index, (group, column) in enumerate(columns.items()):
        lead = (tallest - len(column)) * (HEIGHT + GAP_Y) / 2
        for row, (key, partitions) in enumerate(column):
            x = MARGIN + index * (WIDTH + GAP_X)
            boxes[key] = _Box(key, group, x, TOP + lead + row * (HEIGHT + GAP_Y), partitions)
    return boxes


def _edge(start: _Box, end: _Box) -> str:
    colour = COLOURS[start.group]
    y1, y2 = start.y + HEIGHT / 2, end.y + HEIGHT / 2
    if start.x == end.x:
        x = start.x
        path = (
            f"M{x:.0f} {y1:.0f} C{x - GAP_X / 2:.0f} {y1:.0f} {x - GAP_X / 2:.0f} {y2:.0f} {x:.0f} {y2:.0f}"
        )
    else:
        x1, x2 = start.x + WIDTH, end.x
        middle = (x1 + x2) / 2
        path = f"M{x1:.0f} {y1:.0f} C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-opacity="0.35" stroke-width="1.6"/>'


def _draw(box: _Box) -> str:
    colour = COLOURS[box.group]
    name = escape(box.key.rpartition("/")[2] if box.group != "source" else box.key.removeprefix("krx/"))
    below = f"per {' × '.join(box.partitions)}" if box.partitions else ""
    middle = box.x + WIDTH / 2
    lines = [
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="#fbfcfe" '
        f'stroke="{colour}" stroke-width="1.4"/>',
        f'<text x="{middle:.0f}" y="{box.y + (17 if below else 23):.0f}" text-anchor="middle" font-size="13" '
        f'fill="#1d2733">{name}</text>',
    ]
    if below:
        lines.append(
            f'<text x="{middle:.0f}" y="{box.y + 31:.0f}" text-anchor="middle" font-size="10" '
            f'fill="#5c6773">{escape(below)}</text>'
        )
    return "\n".join(lines)

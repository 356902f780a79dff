"""Metadata: tables and pictures in the form that the UI shows beside a materialization."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import dagster as dg
import polars as pl


def table(frame: pl.DataFrame, forms: Mapping[str, str] | None = None) -> dg.MarkdownMetadataValue:
    """Return a small frame as a Markdown table; ``forms`` are formats by column, e.g. ``{:.1%}``."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * frame.width]
    for row in frame.iter_rows(named=True):
        cells = ["–" if value is None else _form(name, value, forms or {}) for name, value in row.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return dg.MetadataValue.md("\n".join(lines))


def picture(png: bytes, name: str) -> dg.MarkdownMetadataValue:
    """Return a picture; ``name`` says what it shows."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _form(name: str, value: object, forms: Mapping[str, str]) -> str:
    return forms.get(name, "{:,}" if isinstance(value, int) else "{}").format(value)

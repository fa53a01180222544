"""Metadata that people look at: pictures and tables on assets. Drawing is in `ml/plots.py`."""

from base64 import b64encode

import dagster as dg
import polars as pl


def picture(png: bytes, caption: str) -> dg.MarkdownMetadataValue:
    """A PNG shown inline on the asset's page."""
    return dg.MetadataValue.md(f"![{caption}](data:image/png;base64,{b64encode(png).decode()})")


def table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A frame as a Markdown table; floats with four digits or more, and at least two decimals."""
    cells = (map(_cell, row) for row in frame.iter_rows())
    rows = (frame.columns, ["---"] * frame.width, *cells)
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(row)} |" for row in rows))


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"

"""The digest as Markdown and as an HTML page that needs no other file."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.digest.content import MOST, Digest
from stock_platform.pages import words

if TYPE_CHECKING:
    from jinja2 import Environment


def write(digest: Digest, folder: Path) -> tuple[Path, Path]:
    """Write both forms into the folder, named by the week; each appears whole or not at all.

    Returns:
        The HTML file and the Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, text in (("html", to_html(digest)), ("md", to_markdown(digest))):
        path = folder / f"{digest.source}-{digest.week}.{ending}"
        part = path.with_suffix(f".{ending}.part")
        part.write_text(text, encoding="utf-8")
        written.append(part.replace(path))
    return written[0], written[1]


def to_markdown(digest: Digest) -> str:
    """The digest as GitHub's Markdown, without pictures."""
    return _environment().get_template("digest.md.jinja").render(_view(digest))


def to_html(digest: Digest) -> str:
    """The digest as one HTML file: styles, picture and the whole table of forecasts are inside."""
    from stock_platform.digest.picture import intervals

    whole = digest.forecasts.write_csv().encode()
    view = _view(digest) | {
        "picture": b64encode(intervals(_shown(digest.forecasts))).decode(),
        "csv": b64encode(whole).decode(),
    }
    return _environment().get_template("digest.html.jinja").render(view)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("stock_platform.digest"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = words.percent
    environment.filters["money"] = words.money
    environment.filters["cell"] = _cell
    return environment


def _cell(text: object) -> str:
    """Text of a provider as a cell of a Markdown table: no markup, no line of its own."""
    flat = " ".join(str(text).split())
    escaped = flat.replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\")
    return re.sub(r"([|\[\]`*])", r"\\\1", escaped)


def _view(digest: Digest) -> dict[str, object]:
    shown = _shown(digest.forecasts)
    return {
        "digest": digest,
        "forecasts": shown.rows(named=True),
        "unshown": digest.forecasts.height - shown.height,
        "matured": digest.matured.head(MOST).rows(named=True),
        "unshown_matured": max(0, digest.matured.height - MOST),
        "record_name": words.record_name(digest.kind, digest.backtest_name),
    }


def _shown(forecasts: pl.DataFrame) -> pl.DataFrame:
    """All of a few; of many those with the highest and lowest probability of a rise."""
    if forecasts.height <= MOST:
        return forecasts
    ranked = forecasts.sort("p_up", "symbol", descending=[True, False])
    return pl.concat([ranked.head(MOST // 2), ranked.tail(MOST // 2)])

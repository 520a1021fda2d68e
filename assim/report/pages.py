"""The page itself: headings, tables and figures in one HTML file without outside resources."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CHANNELS = 6
"""Drawn of one result."""
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 64rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1.02rem; margin: 1.5rem 0 .25rem; }
p.quiet, figcaption { color: #666; font-size: .88rem; }
p.advice { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .4rem .8rem; }
p.fine { border-left: 4px solid #009e73; background: #eef8f4; padding: .4rem .8rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; margin: .5rem 0 1rem; }
th, td { padding: .22rem .7rem; text-align: right; border-bottom: 1px solid #eee;
         font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
td.best { font-weight: 650; }
figure { margin: .75rem 0; }
img { max-width: 100%; height: auto; }
nav a { margin-right: 1rem; }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """Put sections together.

    Args:
        title: plain text.
        lead: plain text under the title.
        sections: heading (plain text) and body (HTML); one with an empty body is left out.

    Returns:
        A whole HTML document.
    """
    kept = [(f"s{i}", heading, body) for i, (heading, body) in enumerate(sections) if body]
    links = "".join(f'<a href="#{key}">{text(heading)}</a>' for key, heading, _ in kept)
    bodies = "".join(
        f'<section><h2 id="{key}">{text(heading)}</h2>{body}</section>'
        for key, heading, body in kept
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{text(title)}</h1><p class="quiet">{text(lead)}</p><nav>{links}</nav>'
        f"{bodies}</body></html>\n"
    )


def text(value: object) -> str:
    """Escape anything for HTML."""
    return html.escape(str(value))


def heading(words: object) -> str:
    """Write a heading inside a section."""
    return f"<h3>{text(words)}</h3>"


def note(words: object, kind: str = "quiet") -> str:
    """Write a paragraph: "quiet", "advice" or "fine"."""
    return f'<p class="{kind}">{text(words)}</p>'


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], best: int | None = None) -> str:
    """Write a table; where `best` names a column its smallest number stands out.

    Args:
        columns: the headings.
        rows: values; numbers are rounded to three digits, missing ones are a dash.
        best: the column whose smallest number is set in bold.

    Returns:
        HTML.
    """
    rows = [list(row) for row in rows]
    ranked = [] if best is None else [row[best] for row in rows]
    numbers = [n for n in ranked if isinstance(n, float) and math.isfinite(n)]
    smallest = min(numbers, default=None)
    head = "".join(f"<th>{text(column)}</th>" for column in columns)
    body = ""
    for row in rows:
        cells = (
            f'<td class="best">{_cell(value)}</td>'
            if best is not None and at == best and smallest is not None and value == smallest
            else f"<td>{_cell(value)}</td>"
            for at, value in enumerate(row)
        )
        body += f"<tr>{''.join(cells)}</tr>"
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Write names and values in two columns."""
    lines = "".join(f"<tr><td>{text(key)}</td><td>{_cell(value)}</td></tr>" for key, value in rows)
    return f'<table class="facts">{lines}</table>'


def figure(draws: Sequence[Callable[[Axes], object]], caption: str, *, width: float = 5.2) -> str:
    """Draw panels side by side into an inline image.

    Args:
        draws: one function per panel, given the axes.
        caption: plain text below, and for readers that cannot see the image.
        width: of a panel, in inches.

    Returns:
        HTML, empty when there is nothing to draw.
    """
    if not draws:
        return ""
    from matplotlib.figure import Figure as Sheet

    columns = min(len(draws), 3)
    lines = -(-len(draws) // columns)
    drawn = Sheet(figsize=(width * columns, 3.3 * lines), layout="tight", dpi=100)
    for index, draw in enumerate(draws):
        draw(drawn.add_subplot(lines, columns, index + 1))
    return image(drawn, caption)


def image(drawn: Figure, caption: str) -> str:
    """Put a drawn figure into the page.

    Args:
        drawn: the figure.
        caption: plain text below, and for readers that cannot see the image.

    Returns:
        HTML.
    """
    held = io.BytesIO()
    drawn.savefig(held, format="png", bbox_inches="tight")
    data = base64.b64encode(held.getvalue()).decode("ascii")
    return (
        f'<figure><img alt="{text(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _cell(value: object) -> str:
    """Write one value of a table."""
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        large, small = abs(value) >= 1000, 0 < abs(value) < 0.01
        return text(f"{value:.0f}" if large else f"{value:.2g}" if small else f"{value:.3f}")
    return text(value)

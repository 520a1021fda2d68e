"""How the command line speaks: results on standard output, notes and mistakes on standard error."""

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assim.cli.wording import as_typed

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 160
"""Columns where there is no terminal to ask."""


def say(sentence: str, *, quiet: bool = False) -> None:
    """Say what was done, on standard output."""
    if not quiet:
        _console(sys.stdout).print(
            as_typed(sentence), markup=False, highlight=False, soft_wrap=True
        )


def note(sentence: str, *, quiet: bool = False) -> None:
    """Say on the way what was decided, on standard error."""
    if not quiet:
        complain(sentence, "note: ")


def complain(sentence: str, kind: str = "") -> None:
    """Say what is wrong, on standard error."""
    text = f"assim: {kind}{as_typed(sentence)}"
    _console(sys.stderr).print(text, markup=False, highlight=False, soft_wrap=True)


def watched(quiet: bool) -> bool:
    """Whether anyone looks at progress bars."""
    return not quiet and sys.stderr.isatty()


def one_sentence(text: str) -> str:
    """The text on one line, without the frame of an error class."""
    words = re.sub(r"\s+", " ", text).strip()
    return words if words.endswith((".", "!", "?")) else f"{words}."


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Show a table; a row that repeats the first cell of the one above leaves it empty.

    Args:
        columns: heads; those that begin with ">" are set to the right.
        rows: cells.
        title: above the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for head in columns:
        right = head.startswith(">")
        table.add_column(head.removeprefix(">"), justify="right" if right else "left")
    above = ""
    for row in rows:
        first = row[0] if row[0] != above else ""
        above = row[0]
        table.add_row(*(Text(cell) for cell in (first, *row[1:])))
    _console(sys.stdout).print(table)


def _console(stream: object) -> "Console":
    from rich.console import Console

    shown = stream is not None and stream.isatty()  # type: ignore[attr-defined]
    return Console(file=stream, width=None if shown else WIDE)  # type: ignore[arg-type]

"""The command line: `assim check`, `datasets`, `fit`, `forecast`, `compare`, `report`, `demo`.

A command reads files, calls one verb and writes one result. Nothing heavy is imported before a command runs, so
that `assim --help` answers at once.
"""

import sys

from assim.cli.running import run

__all__ = ["main", "run"]


def main() -> None:
    """Run the command that the shell gave, and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))

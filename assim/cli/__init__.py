"""In the shell: `assim check`, `datasets`, `fit`, `forecast`, `backtest`, `assimilate`, and so on: `assim --help`.

A command reads files, calls one verb and writes one result. Nothing heavy is imported before a command runs, so
that `assim --help` answers at once.
"""

import sys
from collections.abc import Sequence

from assim.cli.stopping import INTERRUPTED, NOTHING_LEFT

__all__ = ["main", "run"]


def main() -> None:
    """Run the command that the shell gave, and leave with its exit code."""
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while imports run, or words are written
        sys.stderr.write(f"assim: {NOTHING_LEFT}\n")
        code = INTERRUPTED
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; see `assim.cli.running.run`, which is not imported before."""
    from assim.cli.running import run as run_command

    return run_command(arguments)

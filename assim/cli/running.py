"""From arguments to an exit code: 0 done, 2 a mistake in the input, 130 interrupted, 1 a fault of the package.

A mistake ends in one sentence on standard error. A fault keeps its traceback, so that it can be reported.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import typer

from assim.cli.application import app
from assim.cli.speaking import complain, one_sentence
from assim.cli.stopping import INTERRUPTED, NOTHING_LEFT, Interrupted

PACKAGE = Path(__file__).resolve().parent.parent
MISTAKES = (ValueError, OSError, MemoryError)
REFUSALS = (TypeError, FloatingPointError, ImportError)
"""Mistakes in the input where this package itself raised them, faults where another did."""
# The classes are those of click, or of the copy that typer carries.
USAGE: Any = typer.BadParameter.__mro__[2]


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: what stands behind `assim` in the shell.

    Returns:
        The exit code.
    """
    command = typer.main.get_command(app)
    with _warnings_as_sentences():
        try:
            code = command.main(
                list(arguments) or ["--help"], prog_name="assim", standalone_mode=False
            )
        except USAGE as error:
            complain(f"{one_sentence(error.format_message())} See assim --help.")
            return 2
        except Interrupted as stop:
            complain(str(stop))
            return INTERRUPTED
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            refused = isinstance(error, REFUSALS) and _raised_here(error.__traceback__)
            if _stopped(error):
                code = INTERRUPTED
            elif isinstance(error, MISTAKES) or refused:
                complain(one_sentence(_words(error)))
                return 2
            else:
                return _show_fault()
        if code == INTERRUPTED:  # typer makes an exit code of Ctrl-C by itself
            complain(NOTHING_LEFT)
    return code if isinstance(code, int) else 0


def _words(error: BaseException) -> str:
    """The sentence of an error; of one that the system raised, with its file."""
    if isinstance(error, MemoryError):
        return "There is not enough memory: fit fewer variables, or forecast to a Zarr store (-o NAME.zarr)."
    if isinstance(error, OSError) and error.strerror is not None:
        place = "" if error.filename is None else f" ({error.filename})"
        return f"{error.strerror}{place}: check the name, the permissions and the room left."
    return str(error) or f"{type(error).__name__}, without a word."


def _stopped(error: BaseException | None) -> bool:
    """Whether Ctrl-C is the cause: an extension that it meets while it loads makes an ImportError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _raised_here(trace: TracebackType | None) -> bool:
    """Whether the innermost frame is of this package."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and PACKAGE in Path(trace.tb_frame.f_code.co_filename).parents


def _show_fault() -> int:
    traceback.print_exc()
    complain("This is a fault of assim, not of your input: please report it with the lines above.")
    return 1


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Advice of this package as sentences, each once; warnings of other packages are for developers."""
    told: set[str] = set()

    def tell(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        *rest: object,
        **more: object,
    ) -> None:
        sentence = one_sentence(str(message))
        if PACKAGE in Path(filename).resolve().parents and sentence not in told:
            told.add(sentence)
            complain(sentence, "warning: ")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = tell
        yield

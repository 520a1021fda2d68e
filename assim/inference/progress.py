"""A progress bar with time left and the current figures; silent when not asked for."""

import sys
from types import TracebackType


class Progress:
    """A bar on standard error.

    Args:
        shown: whether there is a bar at all.
        label: what is running.
        total: number of steps.
        done: steps done before.
    """

    def __init__(self, shown: bool, label: str, total: int, done: int = 0):
        self.shown, self.label, self.total, self.done = shown, label, total, done

    def __enter__(self) -> "Progress":
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=Console(file=sys.stderr),
            )
            self.bar.start()
            self.task = self.bar.add_task(
                self.label, total=self.total, completed=self.done, figures=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            self.bar.stop()

    def advance(self, steps: int, figures: dict[str, float]) -> None:
        """Move on by `steps` and show the newest figures."""
        if self.shown:
            told = "  ".join(f"{k} {v:.4g}" for k, v in figures.items())
            self.bar.update(self.task, advance=steps, figures=told)

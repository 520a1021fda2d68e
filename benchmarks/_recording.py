"""What every script does with its figures: a table on the screen, and a small JSON file beside the others."""

import importlib.metadata
import json
import os
import platform
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SCRATCH = FOLDER / "scratch"
STARTED = time.perf_counter()


def record(
    name: str,
    columns: list[str],
    rows: list[list],
    *,
    aims: str,
    notes: list[str] | None = None,
    rounded: int = 3,
) -> None:
    """Print the table and write results/NAME.json."""
    rows = [[_short(cell, rounded) for cell in row] for row in rows]
    told = {
        "command": shlex.join(
            [".venv/bin/python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]
        ),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "seconds": round(time.perf_counter() - STARTED),
        "aims": aims,
        "columns": columns,
        "rows": rows,
        "notes": notes or [],
    }
    path = FOLDER / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")
    print(markdown(told))


def markdown(told: dict) -> str:
    """The table of a record, with the command, the machine and the date."""
    lines = [told["aims"], ""]
    lines += [_row(told["columns"]), _row(["---"] * len(told["columns"]))]
    lines += [_row(row) for row in told["rows"]]
    lines += ["", *[f"{note}\n" for note in told["notes"]]]
    lines += [f"`{told['command']}`, {told['seconds']} s, {told['date']}, {told['machine']}."]
    return "\n".join(lines)


def machine() -> str:
    """Processor, cores and the versions that matter."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [s for s in info.read_text().splitlines() if s.startswith("model name")]
        model = named[0].partition(":")[2].strip() if named else model
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("jax", "numpyro"))
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def peak_memory() -> float:
    """The largest resident set of this process so far, GiB."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _row(cells: list) -> str:
    return "| " + " | ".join(str(c) for c in cells) + " |"


def _short(cell: object, rounded: int) -> object:
    if isinstance(cell, float):
        return float(f"{cell:.{rounded}g}")
    return cell

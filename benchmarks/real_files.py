"""Every real file in the shared folder through the commands: `assim check` of each, `assim fit` of each series.

Fitted are all that met masts, flux towers and moorings recorded, whole, by the default model. Where one is refused,
what its sentence asks for is done, and the fit is asked for again.

The folder is `ASSIM_SHARED_DATA`, or ../shared/data beside the checkout; without it the script says so and stops.
"""

import argparse
import io
import os
import re
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from _recording import FOLDER, record

from assim.cli import run

FITTED = ("met_arm", "flux_arm", "mooring_imos")
SETTINGS = "--method svi --set num_steps=100 --set ascent.num_steps=100 --set num_draws=20"
MOST_TRIES, NAMED = 3, 3
SPARING = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def told(*arguments: str) -> tuple[int, str, str]:
    """A command as in a shell: its exit code, what it printed, and its last word if it went wrong."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    lines = [line.removeprefix("assim: ") for line in err.getvalue().splitlines()]
    last = lines[-2 if "Traceback" in err.getvalue() else -1] if lines else "nothing"
    return code, out.getvalue(), last if code else ""


def checked(path: Path) -> tuple[int, str, list[str]]:
    """`assim check`: exit code, the first line of its verdict or its sentence, what it would forecast."""
    code, printed, sentence = told("check", str(path))
    if code:
        return code, sentence, []
    verdict = printed.partition("What a fit would do\n")[2]
    listed = re.search(r"It would forecast ([\w, ]+?)( and \d+ more|, as|;)", verdict)
    names = listed[1].split(", ") if listed else []
    return code, verdict.splitlines()[0].removeprefix("- "), names


def remedy(sentence: str, path: Path, names: list[str], folder: Path) -> tuple[Path, list[str]]:
    """What a refusal asks for: another file, or options; nothing where it asks for what nobody can give."""
    step = re.search(r"--step (\w[\w.]*\w)", sentence)
    if "read_csv" in sentence:
        made = folder / f"{path.stem}.nc"
        time_column = next(c for c in pd.read_csv(path, nrows=1) if c.lower() == "time")
        table = pd.read_csv(path, index_col=time_column, parse_dates=True).tz_localize(None)
        table.to_xarray().to_netcdf(made)
        return made, []
    if step:
        return path, ["--step", step[1]]
    if "--variables A,B" in sentence and names:
        return path, ["--variables", ",".join(names[:NAMED])]
    if "lags" in sentence:
        return path, ["--set", "lags=6"]
    return path, []


def fitted(path: Path, names: list[str], folder: Path) -> tuple[str, float, str]:
    """`assim fit`: the exit codes, the seconds of the last try, and what was said and done before."""
    options: list[str] = []
    codes, said = list[str](), list[str]()
    for _ in range(MOST_TRIES):
        begun = time.perf_counter()
        command = ["fit", str(path), "-o", str(folder / "fit.nc"), *SETTINGS.split(), *options]
        code, _, sentence = told(*command)
        spent = time.perf_counter() - begun
        codes.append(str(code))
        other, more = remedy(sentence, path, names, folder) if code == 2 else (path, [])
        if code:
            said.append(sentence)
        if other == path and not more:
            break
        said.append(f"Then {f'with `{" ".join(more)}`' if more else 'as it says'}.")
        path, options = other, options + more
    return ", then ".join(codes), spent, " ".join(said)


def tried(path: Path, shared: Path, folder: Path) -> list:
    """The row of a file."""
    where = path.relative_to(shared)
    code, says, names = checked(path)
    row: list = [str(where), code, says, "", "", ""]
    met = code == 0 or (code == 2 and says.endswith("."))
    if where.parts[0] in FITTED:
        own = folder / str(os.getpid())
        own.mkdir(exist_ok=True)
        row[3:] = fitted(path, names, own)
        met = met and row[3].split()[-1] == "0"
    row = [c.replace(f"{shared}/", "") if isinstance(c, str) else c for c in row]
    return [*row, "yes" if met else "no"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of the names of the files that are tried")
    only = parser.parse_args().only
    shared = Path(os.environ.get("ASSIM_SHARED_DATA", FOLDER.parent.parent / "shared" / "data"))
    if not shared.is_dir():
        print("There is no folder of real files here: set ASSIM_SHARED_DATA to try one.")
        return
    folder = Path(tempfile.mkdtemp())
    # whether fits run is asked, and the compiler's optimisations take most of the time
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {SPARING}"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
    paths = sorted(p for p in shared.rglob("*") if p.is_file() and only in str(p))
    rows = []
    # fresh processes now and then, since compiled programs use up the maps of memory that one may have
    with get_context("spawn").Pool(2, maxtasksperchild=25) as pool:
        for row in pool.imap(partial(tried, shared=shared, folder=folder), paths):
            rows.append(row)
            print(row, flush=True)
    heads = ["file", "check", "its verdict on the clock, or its sentence", "fit", "seconds"]
    record(
        "real_files",
        [*heads, "refused before, and what was done", "met"],
        rows,
        aims="Aim: `assim check` of every file succeeds or says in a sentence why not; `assim fit` runs on every "
        f"met, flux and mooring series (default model, all it holds; `{SETTINGS}`). Numbers are exit codes.",
        notes=["Two at a time, compiled without optimisations; equal shapes are compiled once."],
    )


if __name__ == "__main__":
    main()

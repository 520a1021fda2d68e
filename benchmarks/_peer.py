"""DAPPER, which lives in an environment of its own; ASSIM_DAPPER names its interpreter."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _recording import FOLDER
from _settings import Setting


@dataclass(frozen=True)
class Peer:
    """An experiment of DAPPER.

    Args:
        method: its class.
        args: positional.
        settings: by keyword.
        cycles: how many; it takes milliseconds for each.
        smoothed: whether what is scored is the smoothed state.
        seed: of truth, readings and filter.
        times: how often it is timed; the least counts.
    """

    method: str
    args: tuple = ()
    settings: dict = field(default_factory=dict)
    cycles: int = 1000
    smoothed: bool = False
    seed: int = 3000
    times: int = 1


def dapper(
    experiments: Sequence[tuple[Setting, Peer]], *, error_only: bool = False
) -> list[dict] | None:
    """What DAPPER says of experiments, in one process of its own; None where it is not installed."""
    python = os.environ.get("ASSIM_DAPPER")
    if python is None:
        return None
    spec = [
        {
            "system": setting.peer,
            "every": setting.every,
            "sector": setting.sector,
            "variance": setting.variance,
            "burn": min(setting.burn, peer.cycles // 4),
            "method": peer.method,
            "args": peer.args,
            "settings": peer.settings,
            "cycles": peer.cycles,
            "smoothed": peer.smoothed,
            "seed": peer.seed,
            "times": peer.times,
            "error_only": error_only,
        }
        for setting, peer in experiments
    ]
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "spec.json", Path(folder) / "out.json"
        path.write_text(json.dumps({"experiments": spec, "out": str(out)}))
        quiet = {"DAPPER_DATA_ROOT": folder, "DAPPER_LIVEPLOTTING": "no", "MPLBACKEND": "Agg"}
        subprocess.run(
            [python, str(FOLDER / "_dapper.py"), str(path)], check=True, env=os.environ | quiet
        )
        return json.loads(out.read_text())

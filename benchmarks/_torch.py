"""The Fourier neural operator of neuraloperator, in an interpreter of its own: sizes in, CPU milliseconds out.

Called by operator_speed.py as PYTHON _torch.py SPEC.json; it knows nothing of assim.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from neuralop.models import FNO


def built(case: dict) -> FNO:
    """An operator without lifting network, channel networks and coordinates, which can be turned off."""
    # waves of both signs along all axes but the last, of which it keeps n // 2 + 1
    *others, last = case["modes"]
    return FNO(
        n_modes=(*(2 * m - 1 for m in others), 2 * last - 2),
        in_channels=1,
        out_channels=1,
        hidden_channels=case["width"],
        n_layers=case["layers"],
        lifting_channel_ratio=0,
        projection_channel_ratio=case["features"] / case["width"],
        positional_embedding=None,
        use_channel_mlp=False,
    )


def spent(work: Callable[[], None], repeats: int) -> float:
    """CPU seconds of a call, the median of several after one."""
    work()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return median(found)


def trained(net: FNO, case: dict, repeats: int) -> float:
    """Milliseconds of a training step."""
    shape = (case["steps"], case["batch"], 1, *case["grid"])
    x, y = torch.randn(shape), torch.randn(shape)
    descent = torch.optim.Adam(net.parameters(), lr=1e-3)

    def work() -> None:
        for now, then in zip(x, y, strict=True):
            descent.zero_grad()
            loss = ((net(now) - then) ** 2).mean()
            loss.backward()
            descent.step()

    return 1000 * spent(work, repeats) / case["steps"]


def rolled(net: FNO, case: dict, count: int, steps: int, repeats: int) -> float:
    """Milliseconds of a step of `count` fields."""
    x = torch.randn((count, 1, *case["grid"]))

    def work() -> None:
        with torch.inference_mode():
            z = x
            for _ in range(steps):
                z = net(z)
        if not 1e-20 < float(z.abs().max()) < 1e20:
            raise ValueError("The roll-out left the numbers that are computed at full speed.")

    return 1000 * spent(work, repeats) / steps


def main(spec: dict) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    told = []
    for case in spec["cases"]:
        net = built(case)
        sizes = (p.numel() * (2 if p.is_complex() else 1) for p in net.parameters())
        found = {"parameters": sum(sizes), "training": trained(net, case, spec["repeats"])}
        found["rolled"] = [rolled(net, case, *roll, spec["repeats"]) for roll in case["rolls"]]
        told.append(found)
    versions = {"torch": torch.__version__}
    Path(spec["out"]).write_text(json.dumps({"cases": told, "versions": versions}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

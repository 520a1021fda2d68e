"""The published half-bridges on torch, in an interpreter of its own: a case in, CPU seconds out.

Called by sbirr_torch.py as PYTHON _sbirr.py SPEC.json; it knows nothing of assim. Rebuilt from the paper (Shen,
Berlinghieri and Broderick 2025, arXiv 2408.06277) with the operations of its release: float64, a dense inverse of
the kernel matrix for each fit, the whole inverse multiplied at each Euler step, Adam on all increments.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Drift = Callable[[Tensor], Tensor]
"""Velocities (particle, coordinate) of positions with the time behind them (particle, coordinate + 1)."""


def kernel(u: Tensor, v: Tensor, dt: float) -> Tensor:
    square = (u**2).sum(1, keepdim=True) - 2 * u @ v.T + (v**2).sum(1)
    return torch.exp(-square.clamp(min=0).sqrt()) / dt


def regressed(points: Tensor, velocity: Tensor, case: dict) -> Drift:
    told = kernel(points, points, case["dt"])
    told.diagonal().add_(1e-6 + case["sigma"] ** 2 / case["dt"])
    inverse = torch.inverse(told)

    def drift(at: Tensor) -> Tensor:
        gain = kernel(points, at, case["dt"]).T @ inverse
        return torch.cat([gain @ column[:, None] for column in velocity.T], dim=1)

    return drift


def simulated(drift: Drift, start: Tensor, case: dict) -> Tensor:
    """Paths (particle, step, coordinate + 1), the time last."""
    x, dt, rows = start, case["dt"], []
    for step in range(case["steps"] + 1):
        at = torch.cat([x, torch.full_like(x[:, :1], step * dt)], dim=1)
        rows.append(at)
        if step < case["steps"]:
            x = x + drift(at) * dt + case["sigma"] * dt**0.5 * torch.randn_like(x)
    return torch.stack(rows, dim=1)


def half_bridge(paths: Tensor, case: dict) -> Drift:
    """The drift of the other direction: states flipped, the clock not."""
    places, clock = paths[..., :-1].flip(1), paths[..., -1:]
    points = torch.cat([places, clock], dim=-1)[:, :-1]
    velocity = places.diff(dim=1) / case["dt"]
    return regressed(points.flatten(0, 1), velocity.flatten(0, 1), case)


def refitted(paths: Tensor, case: dict) -> None:
    """Twenty steps of Adam on the four numbers of a Lotka-Volterra drift."""
    theta = torch.full((4,), 1e-5, dtype=paths.dtype, requires_grad=True)
    velocity, x = (paths.diff(dim=1) / case["dt"]).flatten(0, 1), paths[:, :-1].flatten(0, 1)
    descent = torch.optim.Adam([theta], lr=0.05)
    for _ in range(case["descent"]):
        a, b, c, d = theta.abs()
        meeting = x[:, 0] * x[:, 1]
        drift = torch.stack([a * x[:, 0] - b * meeting, d * meeting - c * x[:, 1]], dim=1)
        loss = ((drift - velocity) ** 2).mean()
        descent.zero_grad()
        loss.backward()
        descent.step()


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it gave."""
    begun = time.process_time()
    given = work()
    return time.process_time() - begun, given


def main(spec: dict) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = spec["case"]
    start, end = (torch.tensor(case[name], dtype=torch.float64) for name in ("start", "end"))
    with torch.no_grad():
        paths = simulated(lambda at: torch.zeros_like(at[:, :-1]), start, case)
        fits, runs = [], []
        cost, drift = spent(lambda: half_bridge(paths, case))
        fits.append(cost)
        for place in (end, start):
            cost, paths = spent(lambda drift=drift, place=place: simulated(drift, place, case))
            runs.append(cost)
            cost, drift = spent(lambda paths=paths: half_bridge(paths, case))
            fits.append(cost)
    every = torch.rand(case["paths"], case["all_steps"] + 1, 2, dtype=torch.float64)
    refit, _ = spent(lambda: refitted(every, case))
    told = {"fit": min(fits), "run": min(runs), "refit": refit, "torch": torch.__version__}
    told["apart"] = float((paths[:, -1, :-1].mean(0) - end.mean(0)).norm())
    Path(spec["out"]).write_text(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

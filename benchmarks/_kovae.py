"""The architecture of the released KoVAE on torch, in an interpreter of its own: sizes in, CPU milliseconds out.

Called by kovae_torch.py and koopman_race.py as PYTHON _kovae.py SPEC.json; it knows nothing of assim. Rebuilt from
the paper (Naiman et al. 2024, arXiv 2310.02619) and the sizes of its release.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn


class KoVAE(nn.Module):
    def __init__(self, case: dict):
        super().__init__()
        self.case = case
        channels, latents, units = case["channels"], case["z_dim"], case["hidden"]
        both = {"num_layers": case["layers"], "bidirectional": True, "batch_first": True}
        self.encoder = nn.GRU(channels, units, **both)
        self.norm = nn.BatchNorm1d(2 * units)
        self.posterior = nn.Linear(2 * units, 2 * latents)
        self.onwards = nn.GRUCell(latents, units)
        self.ahead = nn.Linear(units, 2 * latents)
        self.decoder = nn.GRU(latents, units, **both)
        self.head = nn.Linear(2 * units, channels)

    def rolled(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Means, log variances and draws of the prior, (window, time, latent)."""
        z, h = torch.zeros(count, self.case["z_dim"]), torch.zeros(count, self.case["hidden"])
        rows = []
        for _ in range(self.case["window"]):
            h = self.onwards(z, h)
            mean, log_variance = self.ahead(h).chunk(2, dim=-1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            rows.append((mean, log_variance, z))
        mean, log_variance, z = (torch.stack(part, dim=1) for part in zip(*rows, strict=True))
        return mean, log_variance, z

    def decoded(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.decoder(z)[0]))

    def loss(self, x: Tensor) -> Tensor:
        count, size = x.shape[0], self.case["z_dim"]
        h = self.norm(self.encoder(x)[0].transpose(1, 2)).transpose(1, 2)
        mean, log_variance = self.posterior(h).chunk(2, dim=-1)
        seen = self.decoded(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        m, log_s, z = self.rolled(count)
        apart = (log_variance.exp() + (mean - m) ** 2) / log_s.exp()
        divergence = 0.5 * (log_s - log_variance + apart - 1).sum() / count
        before, after = (part.reshape(-1, size) for part in (z[:, :-1], z[:, 1:]))
        q, r = torch.linalg.qr(before)
        foreseen = before @ torch.linalg.solve_triangular(r, q.T @ after, upper=True)
        prediction = ((after - foreseen) ** 2).mean() / torch.linalg.norm(foreseen)
        rec = ((x - seen) ** 2).sum() / count
        return rec + self.case["w_kl"] * divergence + self.case["w_pred"] * prediction


def spent_on(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds of a call, the median of several after one."""
    work()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return median(found)


def trained(net: KoVAE, case: dict, repeats: int) -> float:
    """Milliseconds of a training step."""
    x = torch.rand(case["steps"], case["batch"], case["window"], case["channels"])
    descent = torch.optim.Adam(net.parameters(), lr=7e-4)

    def work() -> None:
        for part in x:
            descent.zero_grad()
            net.loss(part).backward()
            descent.step()

    return 1000 * spent_on(work, repeats) / case["steps"]


def generated(net: KoVAE, case: dict, repeats: int) -> float:
    """Milliseconds of all windows together, in batches of the size of training, as the release makes them."""

    def work() -> None:
        with torch.inference_mode():
            for size in case["made_in"]:
                net.decoded(net.rolled(size)[2])

    return 1000 * spent_on(work, repeats)


def made(net: KoVAE, sizes: list[int]) -> Tensor:
    """Windows in batches of some sizes."""
    with torch.inference_mode():
        return torch.cat([net.decoded(net.rolled(size)[2]) for size in sizes])


def race(case: dict) -> None:
    """A fit to the windows of a file, which writes as many of its own whenever its CPU time passes a mark."""
    x = torch.as_tensor(np.load(case["windows"]), dtype=torch.float32)
    net = KoVAE(case | {"channels": x.shape[2]})
    descent = torch.optim.Adam(net.parameters(), lr=7e-4)
    spent, visits = 0.0, 0
    for mark, out in zip(case["marks"], case["outs"], strict=True):
        while spent < mark:
            begun = time.process_time()
            for part in torch.randperm(len(x)).split(case["batch"]):
                descent.zero_grad()
                net.loss(x[part]).backward()
                descent.step()
            spent, visits = spent + time.process_time() - begun, visits + 1
        net.eval()
        sizes = [len(part) for part in x.split(case["batch"])]
        np.save(out, made(net, sizes).numpy())
        making = spent_on(partial(made, net, sizes), 3)
        net.train()
        print(json.dumps({"visits": visits, "seconds": spent, "making": making}), flush=True)


def main(spec: dict) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if "race" in spec:
        race(spec["race"])
        return
    told = []
    for case in spec["cases"]:
        net = KoVAE(case)
        found = {"parameters": sum(p.numel() for p in net.parameters())}
        found["training"] = trained(net, case, spec["repeats"])
        found["generating"] = generated(net.eval(), case, spec["repeats"])
        told.append(found)
    Path(spec["out"]).write_text(json.dumps({"cases": told, "torch": torch.__version__}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))

r"""Energy of a field by wavenumber.

With the Fourier coefficients $\hat f(\mathbf k) = N^{-1} \sum_n f(\mathbf x_n) e^{-i \mathbf k \cdot \mathbf x_n}$
of a field on $N$ places, angular wavenumbers $k = 2\pi m / L$ along an axis of length $L$, and shells of the width
$\Delta k$ of the shorter axis,

$$E(k)\,\Delta k = \sum_{|\,|\mathbf k'| - k\,| \le \Delta k / 2} |\hat f(\mathbf k')|^2, \qquad
\sum_k E(k)\,\Delta k = \frac1N \sum_n f(\mathbf x_n)^2 \quad \text{(Parseval)}.$$

The mean of the field stands at $k = 0$. An axis counts as closed: where a field does not come back to where it
began, the step at the ends adds a tail that falls as $k^{-2}$.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from assim.data.gridding import UNEVEN
from assim.data.units import agree

DEGREES = ("degree", "degrees_north", "degrees_east")
FEWEST = 2


def energy_spectrum(field: xr.DataArray, dims: str | Sequence[str]) -> xr.DataArray:
    """Distribute the mean square of a field over wavenumbers.

    Args:
        field: on one or two axes at equal steps and any other dimensions, any units.
        dims: the axes, one or two; of two the wavenumbers are binned in shells about 0.

    Returns:
        (..., wavenumber), the field's units squared in each radian per unit of the coordinate; `wavenumber` from 0
        in radians per unit of the coordinate, its attribute `nyquist` the highest whose shell is whole. NaN where a
        value is missing.

    Raises:
        ValueError: no such axes, coordinates that are none, not at equal steps or in units that do not go together.
    """
    dims = (dims,) if isinstance(dims, str) else tuple(dims)
    if not 1 <= len(dims) <= 2 or len(set(dims)) < len(dims) or not set(dims) <= set(field.dims):
        raise ValueError(
            f"dims={list(dims)}: name one or two different axes of the field, which lies on {list(field.dims)}."
        )
    steps, units = [_step(field, dim) for dim in dims], _common_units(field, dims)
    sizes = [field.sizes[dim] for dim in dims]
    waves = [2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(sizes, steps, strict=True)]
    size = np.sqrt(sum(k**2 for k in np.meshgrid(*waves, indexing="ij")))
    width = max(2 * np.pi / (n * d) for n, d in zip(sizes, steps, strict=True))
    shell = np.rint(size / width).astype(int).ravel()
    energy = xr.apply_ufunc(
        _shells,
        field,
        input_core_dims=[dims],
        output_core_dims=[["wavenumber"]],
        kwargs={"shell": shell, "width": width, "count": len(dims)},
    )
    told = {"long_name": "wavenumber", "nyquist": float(min(np.pi / d for d in steps))}
    told |= {"units": f"rad {_one(units)}-1"} if units else {}
    own = str(field.attrs.get("units", ""))
    said = {"long_name": f"energy of {field.attrs.get('long_name', field.name or 'the field')}"}
    said |= {"units": f"{_one(own)}2 {_one(units)} rad-1"} if own and units else {}
    energy = energy.assign_coords(
        wavenumber=("wavenumber", width * np.arange(shell.max() + 1), told)
    )
    return energy.rename("energy").assign_attrs(said)


def _shells(values: np.ndarray, shell: np.ndarray, width: float, count: int) -> np.ndarray:
    """Squares of the coefficients on the last `count` axes, summed in shells: (..., axes) -> (..., shell)."""
    axes = tuple(range(values.ndim - count, values.ndim))
    power = np.abs(np.fft.fftn(values, axes=axes) / shell.size) ** 2
    power = power.reshape(*values.shape[: axes[0]], shell.size)
    energy = np.zeros((shell.max() + 1, *power.shape[:-1]))
    np.add.at(energy, shell, np.moveaxis(power, -1, 0))
    return np.moveaxis(energy, 0, -1) / width


def _step(field: xr.DataArray, dim: str) -> float:
    """From place to place along an axis."""
    if dim not in field.coords or field[dim].dtype.kind not in "fiu" or field.sizes[dim] < FEWEST:
        raise ValueError(
            f"The field has no coordinate of two numbers or more along '{dim}': give one, as "
            f"field.assign_coords({dim}=...)."
        )
    apart = np.diff(field[dim].values.astype(float))
    step = float(np.median(apart))
    if step == 0 or np.abs(apart - step).max() > UNEVEN * abs(step):
        raise ValueError(
            f"The places along '{dim}' do not stand at equal steps (from {apart.min():g} to {apart.max():g}): "
            f"bring the field to a regular grid first, as field.interp({dim}=...)."
        )
    return abs(step)


def _common_units(field: xr.DataArray, dims: Sequence[str]) -> str:
    """Units of the axes, "" where one has none."""
    told = [str(field[dim].attrs.get("units", "")) for dim in dims]
    units = ["degree" if u in DEGREES else u for u in told]
    if all(units) and not agree(units[0], units[-1]):
        raise ValueError(
            f"'{dims[0]}' is in '{told[0]}' and '{dims[1]}' in '{told[1]}', so that a wavenumber has no one unit: "
            "convert one of them, or take the spectrum along one axis."
        )
    return units[0] if all(units) else ""


def _one(units: str) -> str:
    """Units that a power can follow."""
    return units if units.isalpha() else f"({units})"

"""A drift that the user writes down, with a prior for each of its parameters.

```python
def spring(x, theta):
    return theta["stiffness"] * (theta["rest"] - x)

reference = Own(
    spring, {"stiffness": dist.LogNormal(0.0, 1.0), "rest": dist.Normal(jnp.zeros(2), 1.0)}
)
```

A file cannot hold a function: it keeps all that was learned, and `assim.restore(tree, model=...)` takes the model
from the program that has the function.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.models.bridge.priors import require_priors, sampled
from assim.models.bridge.references.base import AbstractDrift, AbstractReference
from assim.models.bridge.region import Region
from assim.types import Array, Sites

type Function = Callable[[Array, Sites], Array]
"""A velocity, shape (coordinate,), of a place, shape (coordinate,), and of parameters by name."""


class OwnDrift(AbstractDrift):
    """A function with its parameters in place.

    Args:
        function: the velocity of a place and of parameters by name.
        theta: the parameters.
    """

    function: Function = eqx.field(static=True)
    theta: Sites

    def __call__(self, x: Array) -> Array:
        """The velocity at x, shape (coordinate,)."""
        return self.function(x, self.theta)


class Own(AbstractReference):
    """A function f(x, theta) of the user's, for the coordinates that it is written for.

    Sites: `drift.` and the name of the parameter, of the shape of its prior. The function is of `jax.numpy`: it is
    differentiated, and it serves one particle, for it is mapped over many. A fit is read again from a file with the
    model beside it, `assim.restore(tree, model=...)`.

    Args:
        function: from x, shape (coordinate,), units of the coordinates, and the parameters by name, the velocity,
            shape (coordinate,), units of the coordinates per unit of time.
        priors: a distribution for each parameter; none for a drift that is known.

    Raises:
        ValueError: a discrete distribution.
        TypeError: what is no function, or no distribution.
    """

    function: Function = eqx.field(static=True)
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __check_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                f"function is of type {type(self.function).__name__}: give one that takes a place and parameters "
                "by name, as lambda x, theta: -theta['rate'] * x."
            )
        require_priors("Own", self.priors, self.priors)

    def sites(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(self.priors)

    def require(self, coordinates: tuple[str, ...]) -> None:
        """A velocity for each coordinate, out of the parameters that have a prior.

        Raises:
            ValueError: another shape, whole numbers, or a parameter that has no prior.
        """
        number = jnp.zeros(0).dtype
        theta = {name: jax.ShapeDtypeStruct(p.shape(), number) for name, p in self.priors.items()}
        place = jax.ShapeDtypeStruct((len(coordinates),), number)
        try:
            told = jax.eval_shape(self.function, place, theta)
        except KeyError as error:
            if error.args[0] in self.priors:
                raise
            raise ValueError(
                f"The drift asks for the parameter {error}, and priors has {', '.join(self.priors) or 'none'}: "
                "give a distribution for it."
            ) from error
        array = isinstance(told, jax.ShapeDtypeStruct)
        what = f"{told.dtype} of shape {told.shape}" if array else f"a {type(told).__name__}"
        if what != f"{number} of shape {place.shape}":
            raise ValueError(
                f"The drift gives {what}, and {number} of shape {place.shape} is needed, a velocity for each of "
                f"{', '.join(coordinates)}: return one array, as jnp.stack([...])."
            )

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> OwnDrift:
        """Each parameter by its own prior."""
        self.require(coordinates)
        return OwnDrift(self.function, sampled("drift", self.priors, {}))

"""The transform of a variable's values to numbers that methods take for Gaussian, and its inverse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

#: Nodes of the quadrature that moments after the inverse are worked out with; more change them by less than 0.1 %.
_NODES = 32


class Transform(BaseModel):
    """``z = (f(x) - f(normal)) / scale`` of values x, and back.

    The mean of a Gaussian z is no mean of x: :meth:`moments` integrate the inverse over the distribution of z, which
    corrects the bias of the plain inverse for any f and within any bounds.

    Attributes
    ----------
    kind:
        Of f: ``linear``, x itself; ``power``, (x / normal) ** exponent of values from 0 on; ``logit``, the logarithm of
        (x - low + margin) / (high - x + margin).
    exponent:
        Of ``power``.
    bounds:
        Low and high; no value leaves them after the inverse.
    margin:
        Of ``logit``: keeps values at a bound finite.
    normal:
        The value that stands for the climatology: z is 0 there.
    scale:
        Size of f of anomalies that methods take for one, see :mod:`climrecon.methods.transformed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear", "power", "logit"] = "linear"
    exponent: float = Field(default=1.0, gt=0, le=1)
    bounds: tuple[float, float] = (-math.inf, math.inf)
    margin: float = Field(default=0.0, ge=0)
    normal: float = 0.0
    scale: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _is_defined(self) -> Self:
        low, high = self.bounds
        if not low <= self.normal <= high:
            raise ValueError(f"normal = {self.normal:g} lies outside the bounds {low:g} to {high:g}")
        if self.kind == "power" and (low != 0.0 or self.normal <= 0.0):
            raise ValueError("a power needs 0 as its lower bound, and a normal above 0")
        if self.kind == "logit" and not (math.isfinite(high - low) and self.margin > 0):
            raise ValueError("a logit needs finite bounds and a margin above 0")
        return self

    @property
    def is_identity(self) -> bool:
        """Whether z is x."""
        return self.kind == "linear" and self.normal == 0.0 and self.scale == 1.0 and self.bounds[0] == -math.inf

    @property
    def is_scaling(self) -> bool:
        """Whether z is x by a constant, so that weights of a linear method are the same for both."""
        return self.kind == "linear" and self.normal == 0.0 and not any(map(math.isfinite, self.bounds))

    def forward(self, values: Array) -> Array:
        """z of (...) values, in their own dtype; NaN where they are."""
        number = values.dtype.type
        return (self._f(values) - number(self._f_of_normal)) / number(self.scale)

    def inverse(self, z: Array) -> Array:
        """(...) values of z, within the bounds."""
        number = z.dtype.type
        return self._back(z * number(self.scale) + number(self._f_of_normal))

    def spread(self, values: Array, sd: Array) -> Array:
        """(...) one-sigma errors of z where those of the values are ``sd``: half of the distance between x +- sd."""
        if self.kind == "linear":
            return sd / sd.dtype.type(self.scale)
        return (self.forward(self._within(values + sd)) - self.forward(self._within(values - sd))) / 2

    def moments(self, mean: Array, sd: Array | None) -> tuple[Array, Array | None]:
        """Mean and standard deviation of values whose z is Gaussian with (...) ``mean`` and ``sd``, or is known: None."""
        if sd is None:
            return self.inverse(mean), None
        if self.kind == "linear" and self.bounds == (-math.inf, math.inf):
            return self.inverse(mean), sd * sd.dtype.type(self.scale)
        import numpy as np

        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        first, second = np.zeros(mean.shape), np.zeros(mean.shape)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            values = self.inverse(mean + mean.dtype.type(node) * sd).astype(np.float64)
            first += weight * values
            second += weight * values**2
        return first.astype(mean.dtype), np.sqrt(np.maximum(second - first**2, 0.0)).astype(mean.dtype)

    def with_error(self, values: Array, sd: Array, white: Array) -> Array:
        """(...) values with errors of size ``sd``, from (...) ``white`` noise; Gaussian in z, so that bounds hold."""
        if self.kind == "linear":
            return self._within(values + white * sd)
        return self.inverse(self.forward(values) + white * self.spread(values, sd))

    def observed(self, values: Array, error: Array, sd: Array) -> tuple[Array, Array]:
        """(...) values with errors of z, and the one-sigma sizes ``sd`` of these, as sizes of values."""
        if self.is_identity:
            return values + error, sd
        z = self.forward(values) + error
        return self.inverse(z), (self.inverse(z + sd) - self.inverse(z - sd)) / 2

    @property
    def plain(self) -> Transform:
        """For methods that give weighted means, which are unbiased of values and biased of powers: linear."""
        if self.kind == "linear":
            return self
        return Transform(bounds=self.bounds, normal=self.normal, scale=max(abs(self.normal), 1.0))

    @property
    def _f_of_normal(self) -> float:
        if self.kind == "power":
            return 1.0
        low, high = self.bounds
        if self.kind == "logit":
            return math.log((self.normal - low + self.margin) / (high - self.normal + self.margin))
        return self.normal

    def _f(self, values: Array) -> Array:
        number, (low, high) = values.dtype.type, self.bounds
        if self.kind == "power":
            return (values / number(self.normal)) ** number(self.exponent)
        if self.kind == "logit":
            log: Callable[[Array], Array] = _log
            return log((values - number(low - self.margin)) / (number(high + self.margin) - values))
        return values

    def _back(self, f: Array) -> Array:
        number, (low, high) = f.dtype.type, self.bounds
        if self.kind == "power":
            return (f.clip(0.0) ** number(1.0 / self.exponent)) * number(self.normal)
        if self.kind == "logit":
            import numpy as np

            share = 1 / (1 + np.exp(-f))
            return self._within(share * number(high - low + 2 * self.margin) + number(low - self.margin))
        return self._within(f)

    def _within(self, values: Array) -> Array:
        low, high = self.bounds
        return values if low == -math.inf and high == math.inf else values.clip(low, high)


def _log(values: Array) -> Array:
    import numpy as np

    return np.log(values)

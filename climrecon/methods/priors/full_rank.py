"""Optimal interpolation with all patterns of a learned covariance, for thousands of months at once.

A rank of some hundred makes the posterior of :mod:`climrecon.methods.priors.low_rank` quick, but loses what varies on
the scale of a few cells, which is worth most where observations are good. Here the mean is solved for again
with the whole covariance: conjugate gradients, preconditioned by the low-rank solution, need a handful of
products with one (P, P) matrix, and all months share them. The spread stays that of the low-rank posterior, and the
network on top corrects it; realisations and means over regions know how what the leading patterns leave goes
together (:mod:`climrecon.methods.priors.residual`).

Shapes: B months, P cells, K leading and L trailing patterns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from climrecon.methods.priors.low_rank import MEAN_PRIOR_SD, LowRankPrior, Posterior
from climrecon.methods.priors.residual import Residual
from climrecon.methods.priors.stationary_covariance import LocalCovariance
from climrecon.methods.threads import one_thread

#: Most steps of conjugate gradients; dense and precise observations take more than early ones (lab log 18).
MOST_STEPS = 128
#: A month is done when the estimated squared error that is left, in units of the prior standard deviation, is below this.
#: That bounds the error of every single cell.
TOLERANCE = 0.5
#: Smallest error of an observed cell, K: no month's mean over a cell of some hundred kilometres is known better.
LEAST_ERROR = 0.1
#: Months that are done are left out of further steps once no more than this share is going.
LEAVE = 0.7
#: Steps that find the leading patterns of a covariance that is like a known one.
SUBSPACE_STEPS = 4
#: Steps whose progress estimates what was left before them.
DELAY = 6


class FullPrior(LowRankPrior):
    """A learned covariance of K leading and L trailing patterns; see :mod:`climrecon.methods.priors.covariance`.

    Parameters
    ----------
    vectors, trailing:
        (P, K) and (P, L).
    residual:
        (P,) variance that both leave.
    scale:
        (12, P) standard deviation of each calendar month, K.
    seasons:
        (12, K + L, K + L) covariance of the patterns' coefficients in each calendar month; None where it is the unit
        matrix all year. It counts for the mean alone: what the leading patterns leave unsure is taken as the whole
        year's.
    """

    def __init__(
        self, vectors: Tensor, trailing: Tensor, residual: Tensor, scale: Tensor, seasons: Tensor | None = None
    ) -> None:
        super().__init__(vectors, residual + (trailing**2).sum(1), scale)
        # Half precision on disk: the patterns that matter little take most of the space.
        self.register_buffer("trailing", trailing.to(torch.float16))
        self.trailing: Tensor
        # Symmetric, so that one triangle is kept.
        packed = None if seasons is None else seasons[(slice(None), *_triangle(seasons.shape[-1]))]
        self.register_buffer("seasons", None if packed is None else packed.to(torch.float16))
        self.seasons: Tensor | None
        #: What is added for a data set, or None; see :meth:`calibrated`.
        self.local: LocalCovariance | None = None
        self._calibrated: tuple[Tensor, Tensor, Tensor] | None = None

    def covariance(self) -> Tensor:
        """(P, P) covariance of the whole year, in units of the calendar month's standard deviation."""
        patterns, left = self._all_patterns()
        matrix = patterns @ patterns.T
        matrix.diagonal().add_(left)
        return matrix if self.local is None else matrix + self.local.matrix()

    def covariance_of_month(self, month: int) -> Tensor:
        """(P, P) covariance of the field about its mean in the calendar month 1..12, K², double precision."""
        patterns, left = (part.double() for part in self._all_patterns())
        by_month = self.coefficients_prior()
        matrix = (patterns if by_month is None else patterns @ by_month[month - 1].double()) @ patterns.T
        matrix.diagonal().add_(left)
        if self.local is not None:
            matrix += self.local.matrix()
        scale = self.scale[month - 1].double()
        return matrix.mul_(scale).mul_(scale[:, None])

    def _all_patterns(self) -> tuple[Tensor, Tensor]:
        """(P, K + L) patterns and (P,) variance that they leave."""
        if self._calibrated is not None:
            return self._calibrated[:2]

        def make() -> tuple[Tensor, Tensor]:
            trailing = self.trailing.to(self.vectors.dtype)
            left = (self.residual - (trailing**2).sum(1)).clamp_min(1e-4)
            return torch.cat([self.vectors, trailing], dim=1), left

        return self._once("patterns", make)

    def coefficients_prior(self) -> Tensor | None:
        """(12, K + L, K + L) covariance of the coefficients by calendar month, or None."""
        if self.seasons is None:
            return None
        seasons = self.seasons

        def make() -> Tensor:
            packed = seasons.to(self.vectors.dtype)
            size = self.vectors.shape[1] + self.trailing.shape[1]
            rows, columns = _triangle(size)
            whole = self.vectors.new_empty(12, size, size)
            whole[:, rows, columns] = packed
            whole[:, columns, rows] = packed
            return whole

        return self._once("seasons", make)

    def prior_precision(self) -> Tensor | None:
        """(12, K, K) precision of the leading patterns' coefficients in each calendar month, or None."""
        covariance = self.coefficients_prior()
        if covariance is None or self.local is not None:
            return None  # the leading patterns of a calibrated prior are others
        rank = self.vectors.shape[1]
        return self._once(
            "precision", lambda: torch.cholesky_inverse(torch.linalg.cholesky(covariance[:, :rank, :rank].double()))
        )

    def calibrated(self, local: LocalCovariance, area: Tensor) -> FullPrior:
        """This prior with a covariance ``local`` added, in the same units; ``area`` (P,) sums to 1.

        For data sets that hold variability on scales which the training fields lack. The K leading patterns are those
        of the sum, in the area-weighted metric, by a few subspace iterations from the former ones.

        Source: Halko, Martinsson & Tropp (2011), SIAM Review 53:217, algorithm 4.4.
        """
        patterns, left = self._all_patterns()
        metric = (area * area.numel()).sqrt()[:, None]

        def product(x: Tensor) -> Tensor:
            x = metric * x
            return metric * (patterns @ (patterns.T @ x) + left[:, None] * x + local.product(x.T).T)

        # The processes of a run that is done in parts may have other numbers of threads.
        with one_thread():
            basis = torch.linalg.qr(metric * self.vectors)[0]
            for _ in range(SUBSPACE_STEPS):
                basis = torch.linalg.qr(product(basis))[0]
            values, axes = torch.linalg.eigh(basis.T @ product(basis))
        vectors = basis @ (axes * values.clamp_min(0.0).sqrt()).flip(1) / metric
        vectors = torch.where(metric > 0.0, vectors, torch.zeros_like(vectors))
        added = FullPrior(vectors, self.trailing, self.residual, self.scale)
        variance = (patterns**2).sum(1) + left + local.variance
        added.residual = (variance - (vectors**2).sum(1)).clamp_min(1e-4)
        added.seasons, added.local, added._calibrated = self.seasons, local, (patterns, left, area)
        return added

    def left_by_leading(self) -> Residual:
        """What the leading patterns leave, of the whole year."""
        patterns, left = self._all_patterns()
        if self._calibrated is None:
            return Residual(patterns[:, self.vectors.shape[1] :], left, self.residual)
        return Residual(patterns, left, self.residual, self.vectors, self._calibrated[2], self.local)

    def posterior(self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor) -> Posterior:
        """Condition on observations; see :meth:`LowRankPrior.posterior`.

        Source of the solver: Golub & Van Loan (2013), Matrix Computations, algorithm 11.5.1; of the estimate of
        what is left: Strakos & Tichy (2002), ETNA 13:56, equation 3.7.
        """
        error_sd = error_sd.clamp_min(LEAST_ERROR)
        low, inverse = self._condition(values, mask, error_sd, month)
        # Months of one calendar month side by side: each of these is one product with that month's covariance.
        order = torch.argsort(month, stable=True)
        # A cell that none of these months has observed counts for nothing until there is a solution.
        cells = torch.nonzero(mask.any(0))[:, 0]
        index = (order[:, None], cells)
        solution = torch.zeros_like(values)
        solution[:, cells] = self._solve(
            values[index], mask[index], error_sd[index], month[order], cells, inverse[order]
        )
        product, level = self._system().analysis(solution, month[order])
        mean = torch.empty_like(values)
        mean[order] = product * self.scale[month[order] - 1]
        level = torch.empty_like(low.level).index_copy_(0, order, level)
        return replace(low, mean=mean, level=level, residual=self.left_by_leading())

    def _solve(
        self, values: Tensor, mask: Tensor, error_sd: Tensor, month: Tensor, cells: Tensor, low: Tensor
    ) -> Tensor:
        """(B, C) weights of the observations; values, mask and errors on the (C,) ``cells``, in order of ``month``."""
        system = self._system(cells)
        scale = self.scale[:, cells][month - 1]
        error = (error_sd / scale) ** 2
        left = torch.where(mask, values / scale, torch.zeros_like(values))
        # Of the whole matrix, what is a cell's own; it weighs nothing where nothing was observed.
        diagonal = system.left + error
        inverse = _LowRankInverse(mask / (self.residual[cells] + error), system.leading, low, of_month(month, error))

        solution = torch.zeros_like(left)
        search = direction = inverse.product(left)
        power = (left * direction).sum(1, keepdim=True)
        progress: list[Tensor] = []
        rows = torch.arange(len(left), device=left.device)
        weights = torch.zeros_like(left)
        going = torch.ones_like(power, dtype=torch.bool)
        for _ in range(MOST_STEPS):
            # ``search`` is zero where nothing was observed. ``along`` and ``left`` are not, but nothing takes them there.
            independent = diagonal * search
            along = system.product(search, month, independent)
            curvature = (search * along).sum(1, keepdim=True)
            # What is independent from cell to cell gives twice this by itself, but for rounding, which then is
            # all that is left of a direction.
            least = 0.5 * independent.mul_(search).sum(1, keepdim=True)
            going = going & (power > 0.0) & (curvature > least)
            # A month that is done stays as it is, so that it does not depend on those it is solved with.
            step = torch.where(going, power / curvature, torch.zeros_like(power))
            solution.addcmul_(step, search)
            left.addcmul_(step, along, value=-1.0)
            progress.append(step * power)
            if len(progress) >= DELAY:
                going = going & (sum(progress[-DELAY:]) > TOLERANCE)
            direction = inverse.product(left)
            new = (left * direction).sum(1, keepdim=True)
            # Rounding ends a month's progress too; what follows would be noise.
            going = going & (new > 0.0)
            count = int(going.sum())
            if not count:
                break
            share = torch.where(going, new / power, torch.zeros_like(new))
            search = torch.addcmul(direction, share, search)
            power = new
            if count <= LEAVE * len(rows):
                # Months that are done leave: the slowest take several times as many steps as most.
                weights[rows] = solution
                keep = going[:, 0]
                rows, month, inverse = rows[keep], month[keep], inverse.months(keep)
                solution, left, search, power, going, diagonal = (
                    x[keep] for x in (solution, left, search, power, going, diagonal)
                )
                progress = [x[keep] for x in progress[-DELAY:]]
        weights[rows] = solution
        return weights

    def _system(self, cells: Tensor | None = None) -> _System:
        """The covariance on all cells, or on (C,) of them."""
        patterns, left = self._all_patterns()
        flat = MEAN_PRIOR_SD / self.scale
        leading = self.vectors
        if cells is not None and len(cells) < len(patterns):
            patterns, left, flat, leading = patterns[cells], left[cells], flat[:, cells], leading[cells]
        else:
            cells = None
        return _System(
            torch.cat([patterns, flat.T], dim=1),
            torch.cat([leading, flat.T], dim=1),
            left,
            self.local,
            self.coefficients_prior(),
            cells,
        )


@dataclass(frozen=True)
class _System:
    """The covariance of field and month's mean on C cells, in units of the calendar month's standard deviation.

    Attributes
    ----------
    patterns:
        (C, R + 12): R patterns, and what the month's mean adds in each of the twelve calendar months.
    leading:
        (C, K + 12): the K leading patterns and the same.
    left:
        (C,) variance that the patterns leave.
    local:
        What is added for a data set, or None.
    by_month:
        (12, R, R) covariance of the patterns' coefficients, or None.
    cells:
        (C,) which of the grid's cells these are; None: all.
    """

    patterns: Tensor
    leading: Tensor
    left: Tensor
    local: LocalCovariance | None
    by_month: Tensor | None
    cells: Tensor | None = None

    def product(self, x: Tensor, month: Tensor, diagonal: Tensor) -> Tensor:
        """(B, C): ``own`` (B, C), and the covariance without ``left`` times (B, C) ``x``; (B,) months in order."""
        return self._spread_out(self._coefficients(x, month), x, diagonal)

    def analysis(self, x: Tensor, month: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C) the covariance times (B, C) ``x``, and (B,) the month's mean, K; (B,) months 1..12 in order."""
        coefficients = self._coefficients(x, month)
        level = MEAN_PRIOR_SD * coefficients[:, -12:].sum(1)
        return self._spread_out(coefficients, x, self.left * x), level

    def _coefficients(self, x: Tensor, month: Tensor) -> Tensor:
        coefficients = x @ self.patterns
        if self.by_month is not None:
            patterns = self.by_month.shape[-1]
            first = 0
            for number, count in enumerate(torch.bincount(month - 1, minlength=12).tolist()):
                if count:
                    part = coefficients[first : first + count, :patterns]
                    part.copy_(part @ self.by_month[number])
                    first += count
        coefficients[:, -12:] *= of_month(month, x)
        return coefficients

    def _spread_out(self, coefficients: Tensor, x: Tensor, diagonal: Tensor) -> Tensor:
        result = torch.addmm(diagonal, coefficients, self.patterns.T)
        if self.local is None:
            return result
        if self.cells is None:
            return result.add_(self.local.product(x))
        everywhere = x.new_zeros(len(x), len(self.local.variance))
        everywhere[:, self.cells] = x
        return result.add_(self.local.product(everywhere)[:, self.cells])


@dataclass(frozen=True)
class _LowRankInverse:
    """The inverse of a low-rank covariance and the observations' errors, by Woodbury: what preconditions.

    Attributes
    ----------
    weight:
        (B, C) inverse of a cell's own variance and error, 0 where nothing was observed.
    leading:
        (C, K + 12), see :class:`_System`.
    root:
        (B, K + 1, K + 1): its product with itself, transposed first, is the covariance of the coefficients given the
        observations. Single precision does for the root; for the covariance it does not.
    calendar_month:
        (B, 12): 1 for the calendar month.
    """

    weight: Tensor
    leading: Tensor
    root: Tensor
    calendar_month: Tensor

    def months(self, keep: Tensor) -> _LowRankInverse:
        """For those of the B months that are kept."""
        return replace(self, weight=self.weight[keep], root=self.root[keep], calendar_month=self.calendar_month[keep])

    def product(self, x: Tensor) -> Tensor:
        """(B, C) ``x`` times it."""
        y = self.weight * x
        projected = y @ self.leading
        level = (projected[:, -12:] * self.calendar_month).sum(1, keepdim=True)
        inner = torch.cat([projected[:, :-12], level], dim=1)[:, None]
        inner = torch.bmm(torch.bmm(inner, self.root.mT), self.root)[:, 0]
        back = torch.cat([inner[:, :-1], inner[:, -1:] * self.calendar_month], dim=1)
        return y.addcmul_(self.weight, back @ self.leading.T, value=-1.0)


def of_month(month: Tensor, like: Tensor) -> Tensor:
    """(B, 12), 1 in the column of the month 1..12 and else 0, of the kind of ``like``."""
    return torch.nn.functional.one_hot(month - 1, 12).to(like.dtype)


def _triangle(size: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the lower triangle of a matrix."""
    index = torch.tril_indices(size, size)
    return index[0], index[1]

"""A made-up product for tests of output, figures and report."""

from __future__ import annotations

import numpy as np

from climrecon.fields import Months, Observations, Source
from climrecon.grid import FIVE_DEGREES, Grid
from climrecon.output.product import NetworkInfo, Product, status_of

RNG = np.random.default_rng(0)


def make_product(months: int = 24, grid: Grid = FIVE_DEGREES, *, realisations: int = 0, twice: bool = False) -> Product:
    shape = (months, *grid.shape)
    mask = RNG.random(shape) < 0.4
    values = RNG.normal(size=shape).astype(np.float32)
    lat = np.repeat(grid.lat, 2) + np.tile([-1.25, 1.25], grid.shape[0]) if twice else grid.lat[::-1]
    source = Source(
        dataset="HadCRUT", version="5.0.2.0", files=("/data/HadCRUT.5.0.2.0.nc",), sha256=("ab" * 32,),
        variable_in_file="tas_mean", title="<script>alert(1)</script>", institution="Met Office", blended=True,
        lat=lat, lon=np.sort(grid.lon % 360), history="2020-01-01 made", notes=("a note",),
    )  # fmt: skip
    time = Months(np.arange(1900 * 12, 1900 * 12 + months))
    observations = Observations("tas", np.where(mask, values, np.nan), mask, None, time, grid, (1961, 1990), source)
    analysis = values + 0.1
    unskilled = RNG.random(shape) < 0.1
    return Product(
        observations=observations,
        infilled=np.where(mask, values, analysis).astype(np.float32),
        analysis=analysis.astype(np.float32),
        stddev=np.full(shape, 0.3, np.float32),
        status=status_of(mask, unskilled),
        reference_period=(1961, 1990),
        network=NetworkInfo("punet6", "a U-Net", "cd" * 32, {"caveats": ["careful"], "scores": {}}),
        region_sd={"global": np.full(months, 0.05), "Nino 3.4": np.full(months, 0.3)},
        realisations=(lambda: (analysis + k for k in range(realisations))) if realisations else None,
        n_realisations=realisations,
        notes=("a note",),
    )

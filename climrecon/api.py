"""The package from Python: :func:`reconstruct`, :func:`evaluate`, :func:`cross_validate`, :func:`explain`,
:func:`compare`, :func:`benchmark`, and all :func:`methods`.

The functions run the tasks of the command line with the same parameters, checks, defaults and site file, in a
temporary folder; what they return has the content of the files that the command line writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    Data = xr.Dataset | xr.DataArray | str | Path

__all__ = ["Compared", "benchmark", "compare", "cross_validate", "evaluate", "explain", "methods", "reconstruct"]


def methods() -> dict[str, str]:
    """Every network and baseline that can fill gaps here: name -> title.

    Shipped networks come first, then those of the network store, baselines, and methods of other packages.
    """
    from climrecon.methods.registry import registered
    from climrecon.methods.store import list_networks
    from climrecon.settings import load_site
    from climrecon.tasks.network_store import store_places

    networks = {card.name: card.title for card, _ in list_networks(store_places(load_site()))}
    return {**networks, **{name: method.title for name, method in registered().items()}}


def reconstruct(observations: Data, network: str = "auto", *, progress: bool = False, **parameters: Any) -> xr.Dataset:
    """Complete gappy observations.

    Parameters
    ----------
    observations:
        A file, or a dataset or data array as xarray opens such a file: (time, lat, lon) with gaps, CF units, and what
        the anomalies refer to (attribute ``reference_period``), or absolute values over that period.
    network:
        A name of :func:`methods`, the path of a network, or ``auto``: the network for the variable, else kriging.
    progress:
        Show the stages and how far they are, on standard error.
    **parameters:
        Any other parameter of the task, as ``climrecon reconstruct --help`` lists them: ``period="1870-1880"``,
        ``realisations=20``.

    Returns
    -------
    xarray.Dataset
        What the result file would hold, in memory: the infilled field, the analysis, its standard deviation, the
        status of each cell, and realisations if there are any. ``to_netcdf`` writes it.

    Raises
    ------
    ClimReconError
        With what was found, what was expected, and a hint what to do.
    """
    import xarray as xr

    given = {"compare_with": "none", **parameters, "network": network}
    with TemporaryDirectory(prefix="climrecon-") as folder, _file(observations, Path(folder)) as path:
        manifest = _run("reconstruct", {**given, "obs_file": str(path)}, Path(folder), progress)
        (name,) = (entry["path"] for entry in manifest["outputs"] if entry["role"] == "reconstruction")
        with xr.open_dataset(Path(folder) / "result" / name) as result:
            return result.load()


def evaluate(
    truth: Data, masks: Data, methods: Sequence[str] = ("auto", "kriging"), *, progress: bool = False, **parameters: Any
) -> pd.DataFrame:
    """Score methods on known fields seen through the gaps of observations.

    Parameters
    ----------
    truth:
        Complete fields, monthly or of ``time_frequency``, as a file or an xarray object.
    masks:
        Observations whose gaps are taken, likewise.
    methods:
        Names of :func:`methods`, the first may be ``auto``; differences are taken to the second.
    progress:
        Show the stages and how far they are, on standard error.
    **parameters:
        Any other parameter of the task, as ``climrecon evaluate --help`` lists them: ``noise=True``.

    Returns
    -------
    pandas.DataFrame
        A row a method, and the mean of the observed cells as ``raw_mean``. Columns: scores of the cells that were
        missing (``rmse``, ``bias``, ``crps`` … in the units of the variable) and of the annual global mean
        (``annual_rmse`` …). All scores stand in ``attrs["scores"]``, as ``scores.json`` has them.

    Raises
    ------
    ClimReconError
        With what was found, what was expected, and a hint what to do.
    """
    first, *others = methods
    given = {**parameters, "network": first, "compare_with": ",".join(others) or "none"}
    with (
        TemporaryDirectory(prefix="climrecon-") as folder,
        _file(truth, Path(folder), "truth.nc") as truth_file,
        _file(masks, Path(folder)) as mask_file,
    ):
        return _scores({**given, "truth_file": str(truth_file), "obs_file": str(mask_file)}, Path(folder), progress)


def cross_validate(
    observations: Data,
    methods: Sequence[str] = ("auto", "kriging"),
    withhold: str = "blocks",
    *,
    progress: bool = False,
    **parameters: Any,
) -> pd.DataFrame:
    """Score methods on observed cells that are withheld in turn and reconstructed from the others.

    Parameters
    ----------
    observations:
        As of :func:`reconstruct`.
    methods:
        Names of :func:`methods`, the first may be ``auto``; differences are taken to the second.
    withhold:
        ``cells``, ``blocks`` of 20 degrees, ``regions`` (continents and ocean basins), ``spans`` (these for 24 months).
    progress:
        Show the stages and how far they are, on standard error.
    **parameters:
        Any other parameter of the task, as ``climrecon evaluate --help`` lists them: ``folds=5``, ``period="1870-1899"``.

    Returns
    -------
    pandas.DataFrame
        A row a method; scores of the cells that were withheld as columns (``rmse``, ``rmse_less_noise``, ``crps`` …). All
        scores stand in ``attrs["scores"]``, as ``scores.json`` has them.

    Raises
    ------
    ClimReconError
        With what was found, what was expected, and a hint what to do.
    """
    first, *others = methods
    given = {**parameters, "network": first, "compare_with": ",".join(others) or "none", "withhold": withhold}
    with TemporaryDirectory(prefix="climrecon-") as folder, _file(observations, Path(folder)) as path:
        return _scores({**given, "obs_file": str(path)}, Path(folder), progress)


def _scores(parameters: dict[str, Any], folder: Path, progress: bool) -> pd.DataFrame:
    """Scores of an evaluation: a row a method, of cells and of the annual means of the whole."""
    import pandas as pd

    _run("evaluate", parameters, folder, progress)
    scores = json.loads((folder / "result" / "scores.json").read_text(encoding="utf-8"))
    rows = {}
    for name, one in scores["scores"].items():
        annual = [region["annual"] for region in one["regions"].values()][:1]
        rows[name] = {**one["cells"], **{f"annual_{key}": value for row in annual for key, value in row.items()}}
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.attrs["scores"] = scores
    return table


@dataclass(frozen=True)
class Compared:
    """A comparison.

    Attributes
    ----------
    numbers:
        The content of ``comparison.json``: trends, ranks, events, differences of pairs, and the files of each product.
    data:
        That of ``comparison.nc``: series (product, time) and maps (product, period, lat, lon).
    """

    numbers: dict[str, Any]
    data: xr.Dataset


def compare(products: Mapping[str, Data], *, progress: bool = False, **parameters: Any) -> Compared:
    """Compare infilled products on a common grid, base period and coverage.

    Parameters
    ----------
    products:
        Name -> a file, zip or folder of a product, or an xarray object; differences are taken to the first.
    progress:
        Show the stages and how far they are, on standard error.
    **parameters:
        Any other parameter of the task, as ``climrecon compare --help`` lists them: ``trend_periods="1901-2018"``.

    Raises
    ------
    ClimReconError
        With what was found, what was expected, and a hint what to do.
    """
    import xarray as xr

    with TemporaryDirectory(prefix="climrecon-") as folder, ExitStack() as held:
        paths = {}
        for number, (name, data) in enumerate(products.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            paths[name] = held.enter_context(_file(data, place, f"product{number}.nc"))
        given = {**parameters, "products": ",".join(f"{name}={path}" for name, path in paths.items())}
        _run("compare", given, Path(folder), progress)
        result = Path(folder) / "result"
        numbers = json.loads((result / "comparison.json").read_text(encoding="utf-8"))
        with xr.open_dataset(result / "comparison.nc") as data:
            return Compared(numbers, data.load())


def benchmark(
    methods: Sequence[str] = ("auto", "kriging", "idw"),
    submissions: Sequence[str | Path] = (),
    *,
    progress: bool = False,
    **parameters: Any,
) -> pd.DataFrame:
    """Score methods, and submissions of other tools, on a benchmark set.

    Parameters
    ----------
    methods:
        Names of :func:`methods`, or paths of networks; ``auto`` is the network for ``tas``.
    submissions:
        Folders with a netCDF file for each case, or folders of such folders.
    progress:
        Show the stages and how far they are, on standard error.
    **parameters:
        Any other parameter of the task, as ``climrecon benchmark leaderboard --help`` lists them: ``benchmark=`` the
        folder of a set (by default the embedded set is made), ``truth_file=``, ``masks=``, ``gaps=``.

    Returns
    -------
    pandas.DataFrame
        A row a method or submission, best RMSE first: scores of all cases (``rmse``, ``skill``, ``crps`` …), version and
        doubts. The content of ``leaderboard.json`` stands in ``attrs["leaderboard"]``.

    Raises
    ------
    ClimReconError
        With what was found, what was expected, and a hint what to do.
    """
    import pandas as pd

    given = {"methods": ",".join(methods) or "none", "submissions": ",".join(map(str, submissions))}
    with TemporaryDirectory(prefix="climrecon-") as folder:
        manifest = _run("benchmark", {**parameters, **given}, Path(folder), progress)
        path = Path(folder) / "result" / "leaderboard.json"
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"boards": []}
    rows = [row for one in content["boards"] if one["set"] == manifest["facets"]["model"] for row in one["rows"]]
    rows.sort(key=lambda row: float(row["overall"]["rmse"]))
    table = pd.DataFrame(
        [{"version": row["method_version"], **row["overall"], "doubts": row["doubts"]} for row in rows],
        index=[row["method"] for row in rows],
    )
    table.attrs["leaderboard"] = content
    return table


def explain(
    observations: Data,
    month: str,
    region: str | None = None,
    methods: Sequence[str] = ("auto", "kriging"),
    *,
    progress: bool = False,
    **parameters: Any,
) -> dict[str, xr.Dataset]:
    """Explain which observations a reconstructed value comes from.

    Parameters
    ----------
    observations:
        As of :func:`reconstruct`.
    month:
        ``YYYY-MM``.
    region:
        The value: an index of the variable (``nino34``), ``global``, a box ``lat0,lat1,lon0,lon1`` or a place
        ``lat,lon``. None: the variable's index, else the mean of all cells.
    methods:
        Names of :func:`methods`, the first may be ``auto``.
    progress:
        Show the stages and how far they are, on standard error.
    **parameters:
        Any other parameter of the task, as ``climrecon explain --help`` lists them: ``period="1850-1900"``.

    Returns
    -------
    Name of each method -> xarray.Dataset with what ``explanation_NAME.nc`` would hold: contributions and weights of the
    observations, changes without blocks of them, reductions of variance. Numbers stand in ``attrs["explanation"]``, as
    ``explanation.json`` has them.

    Raises
    ------
    ClimReconError
        With what was found, what was expected, and a hint what to do.
    """
    import xarray as xr

    first, *others = methods
    given = {
        **parameters,
        "network": first,
        "compare_with": ",".join(others) or "none",
        "month": month,
        "region": region,
    }
    with TemporaryDirectory(prefix="climrecon-") as folder, _file(observations, Path(folder)) as path:
        _run("explain", {**given, "obs_file": str(path)}, Path(folder), progress)
        result = Path(folder) / "result"
        found = {}
        for name, numbers in json.loads((result / "explanation.json").read_text(encoding="utf-8"))["methods"].items():
            with xr.open_dataset(result / f"explanation_{name}.nc") as maps:
                found[name] = maps.load().assign_attrs(explanation=numbers)
        return found


def _run(task: str, parameters: dict[str, Any], folder: Path, progress: bool) -> dict[str, Any]:
    """Run a task into ``folder``/result; returns its manifest."""
    from climrecon.cli.progress import make_reporter
    from climrecon.settings import load_site, validate
    from climrecon.tasks.run import run_task
    from climrecon.workflow.progress import Quiet
    from climrecon.workflow.run_info import run_info

    site = load_site()
    quiet = {"plots": False, "report": False, "dispatch": "local"}
    given = {**quiet, **parameters, "task": task, "outputdir": str(folder / "result")}
    run = run_info({"host": "python"})
    if not progress:
        return run_task(validate(given, site), site, Quiet(), run).manifest
    with closing(make_reporter()) as shown:
        return run_task(validate(given, site), site, shown, run).manifest


@contextmanager
def _file(data: Data, folder: Path, name: str = "observations.nc") -> Iterator[Path]:
    """``data`` as a file: its own, or one written to ``folder`` under the name that it was read from."""
    if isinstance(data, str | Path):
        yield Path(data)
        return
    source = Path(str(data.encoding.get("source", name))).name
    path = folder / "input" / source
    path.parent.mkdir(exist_ok=True)
    data.to_netcdf(path)
    yield path

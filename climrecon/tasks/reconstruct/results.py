"""Writing what a run hands back, in the order of its hashes: netCDF, figures, provenance, report, manifest."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.output.entry import write_entry
from climrecon.output.manifest import made, write_manifest
from climrecon.output.netcdf import content_sha256, global_attributes, write_netcdf
from climrecon.output.product import Product
from climrecon.output.provenance import Activity, OutputFile, write_provenance
from climrecon.output.series import Series, make_series, trends, warmest_years
from climrecon.preprocess import FileGrid
from climrecon.settings import RunSettings
from climrecon.settings.periods import parse_month
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import Method, on_method_grid
from climrecon.tasks.reconstruct.apply import largest_el_nino, single_month
from climrecon.tasks.reconstruct.structural import lines as structural_lines
from climrecon.tasks.reconstruct.structural import with_networks, with_structural, write_series
from climrecon.version import __version__
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.progress import Reporter
from climrecon.workflow.versions import versions


@dataclass(frozen=True)
class Beside:
    """Another method's mean of the plotted month, (H, W) K on the observations' grid."""

    name: str
    mean: np.ndarray


def write_results(
    stage: Path,
    folder: Path,
    product: Product,
    settings: RunSettings,
    run: dict[str, Any],
    inputs: Inputs,
    beside: Sequence[Method],
    reporter: Reporter,
) -> Outcome:
    """Write everything to ``stage``; ``folder`` is where it will stand in the end."""
    known = versions()
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source = product.observations.source
    entries: list[OutputFile] = []
    product = with_structural(product, beside, stage, reporter)
    run = {**run, "fingerprint": with_networks(run["fingerprint"], product.structural)}
    reporter.stage("Writing the result")
    attributes = global_attributes(
        product, settings.plain(), known, when, run["id"], f"climrecon {__version__} reconstruct"
    )
    main = stage / f"{product.stem}.nc"
    with ThreadPoolExecutor(1) as pool:  # compressing leaves a core free
        made_beside = pool.submit(make_series, product)
        written = write_netcdf(product, main, attributes)
        series = made_beside.result()
    what = f"{source.label} {product.observations.variable} reconstructed with {product.network.name}"
    entries.append(
        made(
            stage,
            main,
            "reconstruction",
            f"{what}, {product.observations.time.span()}",
            content_sha256(main, written),
        )
    )
    if settings.add_to_databrowser:
        entries += _single_files(stage, product, attributes, what)
    entry = stage / "catalogue.json"
    write_entry(entry, [_facets(product, folder / made_.path) for made_ in entries if made_.role != "figure"])
    entries.append(made(stage, entry, "catalogue", "intake-esm catalogue of this reconstruction"))
    if product.structural is not None:
        entries.append(write_series(stage, product))
    month = _plot_month(settings, product)
    figures: list[tuple[OutputFile, str]] = []
    if settings.plots:
        reporter.stage("Drawing figures")
        figures = _figures(stage, product, series, month, beside, settings, reporter)
        entries += [figure for figure, _ in figures]
    further = [
        item for info in (product.network, *(method.info for method in beside)) for item in info.inputs
    ]
    inputs_used = list(dict.fromkeys([*zip(source.files, source.sha256, strict=True), *further]))
    activity = Activity(
        run_id=run["id"],
        started=run["started"],
        ended=datetime.now(UTC),
        user=run["user"],
        settings=settings.plain(),
        versions=known,
        network=product.network.name,
        network_sha256=product.network.sha256,
        inputs=inputs_used,
        fingerprint=run["fingerprint"],
        further=[(method.info.name, method.info.sha256) for method in beside if method.info.sha256],
    )
    provenance = stage / "provenance.json"
    write_provenance(provenance, activity, entries)
    entries.append(
        made(stage, provenance, "provenance", "W3C provenance: inputs, network, settings, versions, outputs")
    )
    if settings.report:
        reporter.stage("Writing the report")
        entries.append(_report(stage, product, series, figures, entries, activity, inputs))
    manifest = write_manifest(stage, run["id"], run["fingerprint"], _facets(product, folder), entries)
    return Outcome(folder, manifest, _summary(folder, product, series, entries))


def _facets(product: Product, path: Path) -> dict[str, str]:
    """Facets under which the result is found; network and data set version are among them."""
    source = product.observations.source
    version_part = f"-{source.version}" if source.version else ""
    return {
        "file": str(path.absolute()),
        "project": "climrecon",
        "product": "reconstruction",
        "institute": (source.facets.get("institute") or source.dataset).lower(),
        "model": f"{source.dataset}{version_part}".lower(),
        "experiment": product.network.name.lower(),
        "time_frequency": "mon",
        "realm": "atmos",
        "variable": product.observations.variable,
        "ensemble": "mean",
        "version": source.version,
        "time_range": product.observations.time.span(),
        "format": "nc",
    }


def _single_files(stage: Path, product: Product, attributes: dict[str, str], what: str) -> list[OutputFile]:
    """Each variable in a file of its own: the host's data browser takes one variable a file."""
    folder = stage / "databrowser"
    folder.mkdir()
    variable = product.observations.variable
    parts = [
        variable,
        f"{variable}_analysis",
        *([f"{variable}_stddev"] if product.stddev is not None else []),
        *([f"{variable}_stddev_observational"] if product.observational is not None else []),
    ]
    found = []
    for name in parts:
        path = folder / f"{name}_{product.stem.split('_', 1)[1]}.nc"
        held = write_netcdf(product, path, attributes, (name,))
        found.append(made(stage, path, "databrowser", f"{what}: {name} alone", content_sha256(path, held)))
    return found


def _plot_month(settings: RunSettings, product: Product) -> int:
    """Index of the month the maps show: as asked for, else the largest El Nino."""
    time = product.observations.time
    if settings.plot_month:
        wanted = parse_month(settings.plot_month)
        return int(np.argmin(np.abs(time.index - wanted)))
    return largest_el_nino(product.infilled, product.observations.grid)


def _beside(methods: Sequence[Method], product: Product, month: int, scratch: Path) -> list[Beside]:
    """The other methods' estimates of the plotted month."""
    found = []
    for method in methods:
        observations = on_method_grid(product.observations, method, scratch)
        if product.structural is None or method.info.name not in product.structural.infilled:
            method.reconstructor.calibrate(observations)
        mean = single_month(method.reconstructor, observations, month).mean
        back = FileGrid(product.observations.grid, observations.grid, product.observations.source, scratch)
        field = back.own_grid(mean)[0]
        if product.shift is not None:
            field = field - product.shift[product.observations.time.month[month] - 1]
        found.append(Beside(method.info.name, field))
    return found


def _figures(
    stage: Path,
    product: Product,
    series: Series,
    month: int,
    methods: Sequence[Method],
    settings: RunSettings,
    reporter: Reporter,
) -> list[tuple[OutputFile, str]]:
    """Figures with their full captions (the manifest's are cut to what the host stores)."""
    from climrecon.plots import animate, draw_global_mean, draw_maps, draw_nino34

    others = {other.name: other.mean for other in _beside(methods, product, month, stage)}
    label = product.observations.time.labels()[month]
    drawn = [
        (f"maps_{label}.png", draw_maps(product, series, month, others)),
        ("global_mean.png", draw_global_mean(product, series)),
        ("nino34.png", draw_nino34(product, series)),
    ]
    found = []
    for name, picture in drawn:
        picture.save(stage / name)
        found.append((made(stage, stage / name, "figure", picture.caption), picture.caption))
    if settings.animation:
        reporter.stage("Drawing the animation")
        path = animate(product, stage / "animation", reporter.step)
        caption = f"{product.observations.source.label}: every month of the reconstruction"
        found.append((made(stage, path, "animation", caption), caption))
    return found


def _report(
    stage: Path,
    product: Product,
    series: Series,
    figures: Sequence[tuple[OutputFile, str]],
    entries: Sequence[OutputFile],
    activity: Activity,
    inputs: Inputs,
) -> OutputFile:
    from climrecon.report import write_report

    path = stage / "report.html"
    write_report(
        path,
        product=product,
        series=series,
        trends=trends(series),
        warmest=warmest_years(series),
        figures=[(stage / figure.path, caption) for figure, caption in figures if figure.role == "figure"],
        outputs=entries,
        activity=activity,
        left_out=inputs.left_out,
    )
    return made(
        stage,
        path,
        "report",
        f"Report: {product.observations.source.label} reconstructed with {product.network.name}",
    )


def _summary(folder: Path, product: Product, series: Series, entries: Sequence[OutputFile]) -> list[str]:
    covered = 100 * float(series.coverage["global"].mean())
    lines = [
        f"Reconstructed {len(product.observations.time)} months of {product.observations.source.label} "
        f"({covered:.0f} % of the area was observed) with {product.network.name}.",
        *structural_lines(product),
        f"Results in {folder}:",
    ]
    return (
        lines
        + [f"  {entry.role:<15} {entry.path}" for entry in entries]
        + ["  manifest        manifest.json"]
    )

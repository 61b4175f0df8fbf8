"""Writing the results of a reconstruction: netCDF, catalogue, figures, report."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from climrecon.array_types import FloatArray
from climrecon.output.content import content_sha256
from climrecon.output.entry import write_entry
from climrecon.output.explanation import Explained
from climrecon.output.native import write_native
from climrecon.output.netcdf import global_attributes, write_netcdf
from climrecon.output.product import Product
from climrecon.output.series import Series, make_series
from climrecon.output.structural import table
from climrecon.preprocess import FileGrid
from climrecon.preprocess.way_back import read_file_cells
from climrecon.report import write_report
from climrecon.settings import RunSettings
from climrecon.settings.periods import parse_month
from climrecon.tasks.explained.results import add_explanation, summary
from climrecon.tasks.inputs import Inputs
from climrecon.tasks.methods import LoadedMethod, on_method_grid
from climrecon.tasks.reconstruct.apply import largest_event, single_month
from climrecon.tasks.reconstruct.product import structural_lines, with_baselines, with_networks, with_structural
from climrecon.variables import VARIABLES
from climrecon.version import __version__
from climrecon.workflow.outcome import Outcome
from climrecon.workflow.run_folder import RunFolder
from climrecon.workflow.versions import versions


def write_results(
    results: RunFolder,
    product: Product,
    fingerprint: str,
    inputs: Inputs,
    others: Sequence[LoadedMethod],
    explained: Sequence[Explained],
) -> Outcome:
    """Write everything; ``others`` are the methods that the result is compared with, ``explained`` is one value each."""
    stage, settings, reporter = results.stage, results.settings, results.reporter
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source, network = product.observations.source, product.network
    product = with_structural(product, others, stage, reporter)
    if settings.compare_series:
        product = with_baselines(product, others, stage, reporter)
    reporter.stage("Writing the result")
    attributes = global_attributes(
        product, settings.recorded(), versions(), when, results.run.id, f"climrecon {__version__} reconstruct"
    )
    main = stage / f"{product.stem}.nc"
    with ThreadPoolExecutor(1) as pool:  # compressing leaves a core free
        waiting = pool.submit(make_series, product)
        written = write_netcdf(product, main, attributes)
        series = waiting.result()
    title = f"{source.label} {product.observations.variable} reconstructed with {network.name}"
    caption = f"{title}, {product.observations.time.span()}"
    results.add(main, "reconstruction", caption, content_sha256(main, written))
    if settings.add_to_databrowser:
        _single_files(results, product, attributes, title)
    facets = _facets(product)
    write_entry(
        stage / "catalogue.json",
        [{**facets, "file": str((results.folder / one.path).absolute())} for one in results.files],
    )
    results.add("catalogue.json", "catalogue", "intake-esm catalogue of this reconstruction")
    units = VARIABLES[product.observations.variable].units
    of_mean = f"{product.mean_in_words.capitalize()} by {product.observations.time.word} with"
    if settings.native_grid:
        _on_file_cells(results, product, inputs, attributes, title)
    if product.structural is not None:
        (stage / "structural.csv").write_text(table(product, product.structural.infilled, True), encoding="utf-8")
        caption = f"{of_mean} each network, {units}, and its standard deviation over them"
        results.add("structural.csv", "series", caption)
    if product.baselines:
        (stage / "baselines.csv").write_text(table(product, product.baselines, False), encoding="utf-8")
        results.add("baselines.csv", "series", f"{of_mean} {network.name} and each baseline, {units}")
    if settings.plots:
        reporter.stage("Drawing figures")
        _figures(results, product, series, others)
    explanations = []
    for one in explained:
        stem = f"explanation_{one.month}"
        content = add_explanation(results, product.observations, [one], f"{stem}.json", [stem])
        explanations.append((content, f"{stem}.png"))
    return results.finish(
        f"{source.label} reconstructed with {network.name}",
        {**facets, "file": str(results.folder.absolute())},
        [*_summary(product, series), *(line for one, _ in explanations for line in summary(one))],
        partial(write_report, product=product, series=series, left_out=inputs.left_out, explanations=explanations),
        network=network.name,
        network_sha256=network.sha256,
        inputs=[
            *zip(source.files, source.sha256, strict=True),
            *(file for info in (network, *(method.info for method in others)) for file in info.inputs),
        ],
        fingerprint=with_networks(fingerprint, product.structural),
        other_networks=[(method.info.name, method.info.sha256) for method in others if method.info.sha256],
        notes=[*product.notes, *_notes_on(explained, product)],
    )


def _notes_on(explained: Sequence[Explained], product: Product) -> list[str]:
    """Notes on values that are none on the whole result."""
    return [f"{one.month}: {note}" for one in explained for note in one.notes if note not in product.notes]


def _facets(product: Product) -> dict[str, str]:
    """Facets under which the result is found; network and data set version are among them."""
    source = product.observations.source
    version_part = f"-{source.version}" if source.version else ""
    return {
        "project": "climrecon",
        "product": "reconstruction",
        "institute": (source.facets.get("institute") or source.dataset).lower(),
        "model": f"{source.dataset}{version_part}".lower(),
        "experiment": product.network.name.lower(),
        "time_frequency": product.observations.time.frequency.name,
        "realm": VARIABLES[product.observations.variable].realm,
        "variable": product.observations.variable,
        "ensemble": "mean",
        "version": source.version,
        "time_range": product.observations.time.span(),
        "format": "nc",
    }


def _single_files(results: RunFolder, product: Product, attributes: dict[str, str], title: str) -> None:
    """Each variable in a file of its own: the host's data browser takes one variable a file."""
    folder = results.stage / "databrowser"
    folder.mkdir()
    variable = product.observations.variable
    parts = [
        variable,
        f"{variable}_analysis",
        *([f"{variable}_stddev"] if product.stddev is not None else []),
        *([f"{variable}_stddev_observational"] if product.observational is not None else []),
    ]
    for name in parts:
        path = folder / f"{name}_{product.stem.split('_', 1)[1]}.nc"
        written = write_netcdf(product, path, attributes, (name,))
        results.add(path, "databrowser", f"{title}: {name} alone", content_sha256(path, written))


def _on_file_cells(
    results: RunFolder, product: Product, inputs: Inputs, attributes: dict[str, str], title: str
) -> None:
    """The reconstruction on the cells of the observations' file, which was remapped to a regular grid."""
    results.reporter.stage("Bringing the result back to the cells of the file")
    own = read_file_cells(inputs.main, inputs.request(results.settings, results.stage), product.observations)
    path = results.stage / f"{product.stem}_native.nc"
    notes = write_native(product, own, path, {**attributes, "title": f"{title}, on the cells of the file"})
    results.reporter.note(notes[0])
    for note in notes[1:]:
        results.reporter.warning(note)
    results.add(path, "native grid", f"{title}: on the cells of the file", content_sha256(path))


def _plot_month(settings: RunSettings, product: Product) -> int:
    """Index of the month the maps show: as asked for, else that of the largest event."""
    time = product.observations.time
    if settings.plot_month:
        wanted = parse_month(settings.plot_month)
        return time.nearest(wanted)
    variable = VARIABLES[product.observations.variable]
    return largest_event(product.infilled, product.observations.grid, variable)


def _other_means(methods: Sequence[LoadedMethod], product: Product, month: int, scratch: Path) -> dict[str, FloatArray]:
    """Method -> (H, W) mean of the plotted month on the observations' grid."""
    means = {}
    for method in methods:
        observations = on_method_grid(product.observations, method, scratch)
        if not (method.info.name in product.baselines or (product.structural and method.network)):
            method.reconstructor.calibrate(observations)
        mean = single_month(method.reconstructor, observations, month).mean
        back = FileGrid(product.observations.grid, observations.grid, product.observations.source, scratch)
        field = back.to_native_grid(mean)[0]
        if product.shift is not None:
            field = field - product.shift.at(product.observations.time[month : month + 1])[0]
        means[method.info.name] = field
    return means


def _figures(results: RunFolder, product: Product, series: Series, others: Sequence[LoadedMethod]) -> None:
    from climrecon.plots import animate, draw_global_mean, draw_index, draw_maps

    month, time = _plot_month(results.settings, product), product.observations.time
    if (wanted := results.settings.plot_month) and not time.holds(parse_month(wanted), month):
        results.reporter.warning(
            f"plot_month={wanted} is in none of the {time.plural} of {time.span()}; the nearest is drawn"
        )
    means = _other_means(others, product, month, results.stage)
    label = product.observations.time.labels()[month]
    results.add_figure(f"maps_{label}.png", draw_maps(product, series, month, means))
    results.add_figure(
        "global_mean.png" if product.observations.grid.is_global else "regional_mean.png",
        draw_global_mean(product, series),
    )
    for one in series.indices:
        results.add_figure(f"{one.index.name}.png", draw_index(product, one))
    if results.settings.interactive_map:
        from climrecon.plots.interactive import FILE, write_interactive_map

        results.reporter.stage("Drawing the interactive map")
        results.add(FILE, "interactive map", write_interactive_map(product, results.stage / FILE, month))
    if results.settings.animation:
        results.reporter.stage("Drawing the animation")
        path = animate(product, results.stage / "animation", results.reporter.step)
        caption = f"{product.observations.source.label}: every {product.observations.time.word} of the reconstruction"
        results.add(path, "animation", caption)


def _summary(product: Product, series: Series) -> list[str]:
    covered = 100 * float(series.covered.mean())
    area = "the area" if product.area_in_words == product.whole_in_words else f"{product.area_in_words}'s area"
    return [
        f"Reconstructed {product.observations.time.counted()} of {product.observations.source.label} "
        f"({covered:.0f} % of {area} was observed) with {product.network.name}.",
        *structural_lines(product),
    ]

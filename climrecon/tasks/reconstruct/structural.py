"""Structural uncertainty: other networks on the same observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from climrecon.array_types import FloatArray
from climrecon.methods.by_chunks import reconstruct
from climrecon.output.product import Product, Structural
from climrecon.output.structural import rows
from climrecon.preprocess import FileGrid, rebase_complete
from climrecon.tasks.methods import LoadedMethod, on_method_grid
from climrecon.variables import VARIABLES
from climrecon.workflow.fingerprint import fingerprint
from climrecon.workflow.progress import Reporter


def with_structural(product: Product, others: Sequence[LoadedMethod], scratch: Path, reporter: Reporter) -> Product:
    """The product with complete reconstructions by those of ``others`` that are networks.

    Baselines have learned nothing that another choice could have changed; they stay in the figures alone.
    """
    networks = [method for method in others if method.network is not None]
    if not networks:
        return product
    fields, notes = {}, list(product.notes)
    for method in networks:
        reporter.stage(
            f"Reconstructing {len(product.observations.time)} months with {method.info.name} too, "
            "for what the choice of network changes"
        )
        fields[method.info.name], calibration = _infilled(product, method, scratch, reporter)
        notes += [f"{method.info.name}: {calibration}"] if calibration else []
    structural = Structural(
        fields,
        {method.info.name: _learned_from(method) for method in networks},
        {method.info.name: method.info.sha256 or "" for method in networks},
    )
    return replace(product, structural=structural, notes=tuple(notes))


def _infilled(product: Product, method: LoadedMethod, scratch: Path, reporter: Reporter) -> tuple[FloatArray, str]:
    """(T, H, W) as a run with ``method`` alone gives them, K; and a note on its calibration."""
    observations = product.observations
    on_network = on_method_grid(observations, method, scratch)
    calibration = method.reconstructor.calibrate(on_network)
    mean = np.empty(on_network.values.shape, np.float32)
    for months, estimate in reconstruct(method.reconstructor, on_network, progress=reporter.step):
        mean[months] = estimate.mean
    back = FileGrid(observations.grid, on_network.grid, observations.source, scratch)
    field: FloatArray = back.to_native_grid(mean).astype(np.float32)
    if product.keep_observed:
        field = np.where(observations.mask, observations.values, field)
    if product.shift is not None:
        shift = rebase_complete(field, observations.time, product.reference_period)
        field = field - shift[observations.time.month - 1]
    return observations.grid.known(field.astype(np.float32)), calibration


def _learned_from(method: LoadedMethod) -> str:
    data = str(method.info.card.get("training", {}).get("data", ""))
    return data or method.info.title


def with_networks(digest: str, structural: Structural | None) -> str:
    """A reconstruction's fingerprint with the networks it is compared with, which change what it holds."""
    if structural is None:
        return digest
    return fingerprint("structural", 1, [digest, *structural.sha256.values()], {}, None)


def lines(product: Product) -> list[str]:
    """For the end of a run: one line for each other network."""
    units, ours = VARIABLES[product.observations.variable].units, product.network.name
    return [
        f"Structural uncertainty, {row.name} less {ours}: {product.mean_in_words} {row.mean:+.3f} {units} on average, "
        f"{row.largest:+.3f} {units} at most ({row.when}); cells that were not observed {row.cells:.2f} {units} (RMS)."
        for row in (rows(product) if product.structural else [])
    ]

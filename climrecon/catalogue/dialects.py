"""Columns of catalogues of any dialect, and Freva's facets."""

from __future__ import annotations

from collections.abc import Iterable

from climrecon.frequency import FREQUENCIES, plain_words

#: Facet -> the columns that hold it, in any dialect: Freva's REST exports in the flavours ``freva``,
#: ``cmip5`` and ``cmip6``; DKRZ's CSV catalogues of CMIP6/CORDEX style and the older one of CMIP5.
#: The first column that a catalogue has is taken.
COLUMNS: dict[str, tuple[str, ...]] = {
    "project": ("project", "mip_era", "project_id"),
    "product": ("product", "product_id", "activity_id"),
    "institute": ("institute", "institution_id", "institute_id"),
    "model": ("model", "model_id", "source_id"),
    "experiment": ("experiment", "experiment_id"),
    "time_frequency": ("time_frequency", "frequency"),
    "realm": ("realm", "modeling_realm"),
    "variable": ("variable", "variable_id"),
    "ensemble": ("ensemble", "member_id", "member", "ensemble_member"),
    "version": ("version",),
    "time_range": ("time_range", "temporal_subset"),
    "cmor_table": ("cmor_table", "table_id", "mip_table"),
    "grid_label": ("grid_label",),
}
#: Freva's facets; the other columns are what else a search needs to know of a file.
FACETS = tuple(name for name in COLUMNS if name not in ("version", "time_range", "cmor_table", "grid_label"))

#: Names of one frequency, CMOR tables among them: these stand in where a catalogue has no frequency column.
_FREQUENCIES = {
    **{one.name: one.names for one in FREQUENCIES.values()},
    "1hr": ("hourly", "1hour", "pt1h"),
    "3hr": ("3hourly", "3hours", "pt3h"),
    "6hr": ("6hourly", "6hours", "pt6h"),
    "fx": ("ofx", "fixed", "static", "invariant"),
}
_FREQUENCY_OF = {name: frequency for frequency, names in _FREQUENCIES.items() for name in (frequency, *names)}


def columns_of(present: Iterable[str]) -> dict[str, str]:
    """Facet -> column, for the columns a catalogue has."""
    have = set(present)
    first = {facet: next((one for one in candidates if one in have), "") for facet, candidates in COLUMNS.items()}
    return {facet: column for facet, column in first.items() if column}


def frequency(value: str, table: str = "") -> str:
    """One name for equal frequencies, from the frequency itself or else from the CMOR table.

    Understands words (``monthly mean``, ``1month``) and durations of ISO 8601 (``P1M``).
    The name of a table (``Amon``) is understood as a frequency too.
    """
    text = value.strip().lower()
    return _FREQUENCY_OF.get(plain_words(text), text) if text else _FREQUENCY_OF.get(table.strip().lower(), "")

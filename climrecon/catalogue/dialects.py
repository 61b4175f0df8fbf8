"""What catalogues call their columns, in terms of Freva's facets."""

from __future__ import annotations

from collections.abc import Iterable

#: Freva's facets and what else a search needs to know of a file.
FACETS = ("project", "product", "institute", "model", "experiment", "ensemble", "time_frequency", "realm", "variable")
EXTRA = ("version", "time_range", "cmor_table", "grid_label")

#: Facet -> the columns that hold it, in any dialect: Freva's REST exports in the flavours ``freva``,
#: ``cmip5`` and ``cmip6``; DKRZ's CSV catalogues of CMIP6/CORDEX style and the older one of CMIP5.
#: The first column that a catalogue has is taken.
COLUMNS: dict[str, tuple[str, ...]] = {
    "project": ("project", "mip_era", "project_id"),
    "product": ("product", "product_id", "activity_id"),
    "institute": ("institute", "institution_id", "institute_id"),
    "model": ("model", "model_id", "source_id"),
    "experiment": ("experiment", "experiment_id"),
    "ensemble": ("ensemble", "member_id", "member", "ensemble_member"),
    "time_frequency": ("time_frequency", "frequency"),
    "realm": ("realm", "modeling_realm"),
    "variable": ("variable", "variable_id"),
    "version": ("version",),
    "time_range": ("time_range", "temporal_subset"),
    "cmor_table": ("cmor_table", "table_id", "mip_table"),
    "grid_label": ("grid_label",),
}

#: Where a catalogue has no frequency column its CMOR table tells.
TABLE_FREQUENCY = {
    "amon": "mon",
    "omon": "mon",
    "lmon": "mon",
    "limon": "mon",
    "simon": "mon",
    "oimon": "mon",
    "day": "day",
    "fx": "fx",
    "ofx": "fx",
}
#: Names of one frequency.
SAME_FREQUENCY = {
    "monthly": "mon",
    "month": "mon",
    "1mon": "mon",
    "mean_mon": "mon",
    "daily": "day",
    "1day": "day",
    "yearly": "yr",
    "year": "yr",
    "annual": "yr",
}


def columns_of(present: Iterable[str]) -> dict[str, str]:
    """Facet -> column, for the columns a catalogue has."""
    have = set(present)
    found = {}
    for facet, candidates in COLUMNS.items():
        for column in candidates:
            if column in have:
                found[facet] = column
                break
    return found


def frequency(value: str, table: str = "") -> str:
    """One name for equal frequencies, from the frequency itself or else from the CMOR table.

    The name of a table (``Amon``) is understood as a frequency too.
    """
    text = value.strip().lower()
    if text:
        return SAME_FREQUENCY.get(text) or TABLE_FREQUENCY.get(text, text)
    return TABLE_FREQUENCY.get(table.strip().lower(), "")

"""The files of a run: netCDF, series, provenance, manifest, catalogue entry."""

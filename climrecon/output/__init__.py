"""What a run hands back: netCDF, series, provenance, manifest, catalogue entry."""

"""netCDF files in all their forms: unpacked, opened, their months and members read. One reader for all layers above."""

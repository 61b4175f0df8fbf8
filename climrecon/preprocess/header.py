"""What the header of a file says of its size."""

from __future__ import annotations

from pathlib import Path

from climrecon.preprocess.values import member_count


def dimensions(path: Path) -> tuple[int, int]:
    """Time steps of the largest variable of a file, and its values at each; zeros if it cannot be read."""
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            found = [
                (variable.shape[i], variable.size // max(variable.shape[i] * member_count(variable), 1))
                for variable in file.variables.values()
                for i, name in enumerate(variable.dimensions)
                if variable.ndim >= 3 and name.lower() in ("time", "t")
            ]
            return max(found, key=lambda pair: pair[0] * pair[1], default=(0, 0))
    except (OSError, RuntimeError, UnicodeDecodeError):
        return 0, 0

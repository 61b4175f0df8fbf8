"""Copies of OPeNDAP addresses, made in a process of their own: the netCDF library knows no limit on a whole answer.

The process ends by an alarm, also inside the library; what it printed last is why.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from climrecon.servers import Limits, ServerError, fetch

#: Exit code where the copy cannot be written.
_UNWRITABLE = 6
#: Bytes in addition to twice those of the values: for Python, its libraries and their threads.
_ROOM = 1 << 32


def copy_opendap(address: str, target: Path, limits: Limits) -> None:
    """Write the values of an address, as they are stored, to the netCDF file ``target``.

    Raises
    ------
    ServerError
        If there is no whole answer within the limits, or none that xarray reads.
    OSError
        If ``target`` cannot be written.
    """
    fetch(f"{address}.dds")  # first: what the netCDF library says of a server is a number
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        # An address may hold a secret, and others see arguments.
        input=json.dumps([address, str(target), asdict(limits)]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        problem = next(reversed(done.stdout.splitlines()), "xarray cannot be started")[:200]
        raise OSError(problem) if done.returncode == _UNWRITABLE else ServerError(problem)


def _copy(address: str, target: str, limits: Limits) -> None:
    import xarray

    def allow(size: int) -> None:
        signal.alarm(math.ceil(limits.seconds_for(size)))
        print(limits.late(size), flush=True)

    allow(0)
    with xarray.open_dataset(address, decode_cf=False, engine="netcdf4") as data:
        if not data.variables:
            raise ValueError("it is an OPeNDAP address without variables")
        if data.nbytes > limits.size:
            raise ValueError(limits.large)
        allow(data.nbytes)
        # A server may send more than it announced.
        resource.setrlimit(resource.RLIMIT_DATA, (2 * data.nbytes + _ROOM,) * 2)
        data.load()
        signal.alarm(0)
        try:
            data.to_netcdf(target, engine="netcdf4")
        except (OSError, RuntimeError) as error:
            print(error)
            sys.exit(_UNWRITABLE)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    try:
        _copy(asked[0], asked[1], Limits(**asked[2]))
    except Exception as failure:
        print(next(iter(str(failure).splitlines()), type(failure).__name__))
        sys.exit(1)

"""How long a look of the watch takes that finds nothing new, as a whole process.

    python benchmarks/release_watch.py [--json] [--runs 9] [--members 200]

The archive is made up in HadCRUT5's format: an ensemble mean, uncorrelated errors, 200 member files and ten zips.
Beside it, in the same run: a look that has to search the catalogue (which was written anew), and what importing
intake-esm alone costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.made_archive import MadeArchive

MONTHS = 240


def seconds(command: list[str]) -> float:
    """Wall seconds of one process."""
    before = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--members", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = MadeArchive(Path(folder))
        archive.mean("5.0.2.0", MONTHS)
        archive.members("5.0.2.0", range(1, options.members + 1), MONTHS)
        archive.zips("5.0.2.0", 12)
        archive.build()
        look = [
            sys.executable, "-m", "climrecon", "watch", "--once", "--catalogue", str(archive.catalogue), "--output",
            f"{folder}/out", "--network", "climatology", "--compare-with", "none", "--plots", "false",
            "--report", "false", "--settle-seconds", "0",
        ]  # fmt: skip
        first = seconds(look)
        quiet = [seconds(look) for _ in range(options.runs)]
        searched = []
        for _ in range(max(options.runs // 2, 1)):
            archive.build()
            searched.append(seconds(look))
        imports = [seconds([sys.executable, "-c", "import intake_esm"]) for _ in range(3)]
    result = {
        "benchmark": "watch",
        "n_files": options.members + 12,
        "runs": options.runs,
        "nothing_to_do_seconds_median": round(statistics.median(quiet), 2),
        "nothing_to_do_seconds_min_max": [round(f(quiet), 2) for f in (min, max)],
        "catalogue_written_anew_seconds_median": round(statistics.median(searched), 2),
        "first_look_with_its_run_seconds": round(first, 2),
        "import_intake_esm_seconds_median": round(statistics.median(imports), 2),
        "wanted_seconds": 3.0,
        "ratio_wanted_over_ours": round(3.0 / statistics.median(quiet), 1),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()

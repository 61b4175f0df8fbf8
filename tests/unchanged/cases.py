"""Runs whose results must stay the same, to the bit on the machine they were recorded on.

    python tests/unchanged/cases.py FOLDER [CASE ...] > recorded.json

records what the ``climrecon`` on ``sys.path`` gives. Every case is a call of the command line, so that nothing here
depends on how the package is built inside.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

SHARED = Path(os.environ.get("CLIMRECON_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TWO_MONTHS = SHARED / "observations/hadcrut4/tas_hadcrut_187709_189308.nc"
CRUTEM = SHARED / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc"
SMALL = "width=4,rank=20,trailing=40,pool=80,folds=2,checks=20,warm_up=5,batch=8,check_every=30,validation_years=3"
PUBLISHED = "masks=30,batch=6,check_every=30,validation_years=3"
#: Case -> the call; {demo} and {shared files} are filled in.
CASES: dict[str, list[str]] = {
    "demo": ["reconstruct", "--catalogue", "{demo}/catalogue.json", "--period", "1870-1879", "--obs-members", "2",
             "--network", "punet5", "--compare-with", "none"],
    "demo in parts": ["reconstruct", "--catalogue", "{demo}/catalogue.json", "--period", "1870-1879",
                      "--obs-members", "2", "--network", "punet5", "--compare-with", "none"],
    "two months": ["reconstruct", "--obs-file", str(TWO_MONTHS), "--network", "punet5", "--realisations", "20",
                   "--compare-with", "none"],
    "two months, kriging": ["reconstruct", "--obs-file", str(TWO_MONTHS), "--network", "kriging", "--realisations", "20",
                            "--compare-with", "none"],
    "two months, kadow2020": ["reconstruct", "--obs-file", str(TWO_MONTHS), "--network", "kadow2020",
                              "--compare-with", "none"],
    "CRUTEM4, pca": ["reconstruct", "--obs-file", str(CRUTEM), "--period", "1900-1904", "--network", "pca",
                        "--compare-with", "none", "--reference-period", "1961-1990"],
    "CRUTEM4": ["reconstruct", "--obs-file", str(CRUTEM), "--period", "1870-1880", "--network", "punet5",
                "--compare-with", "none"],
    "evaluate": ["evaluate", "--truth-file", "{truth}", "--network", "punet5", "--catalogue", "{demo}/catalogue.json", "--period", "1961-1962",
                 "--compare-with", "kriging,oi,idw,climatology", "--noise", "true", "--realisations", "5"],
    **{
        f"train {name}": ["train", "--catalogue", "{demo}/catalogue.json", "--training-data", "cmip5", "--iterations", "60",
                          "--network-name", f"unchanged-{name}", "--recipe", recipe]
        for name, recipe in (
            ("native", f"punet,neighbour_months=0,seasons=false,{SMALL}"), ("analysis", f"punet,{SMALL}"),
            ("kadow2020", f"kadow2020,{PUBLISHED}"),
        )
    },
}  # fmt: skip
NEEDS_SHARED = {"two months", "two months, kriging", "two months, kadow2020", "CRUTEM4, pca", "CRUTEM4"}
#: Attributes that differ from run to run.
VOLATILE = {
    "history", "date_created", "tracking_id", "climrecon_versions", "climrecon_settings", "climrecon_run",
}  # fmt: skip


def machine() -> str:
    """What bits depend on: processor, kernels and libraries."""
    import torch

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = [re.search(rf"^{name}\s*: (.*)", text, re.MULTILINE) for name in ("model name", "cpu family", "model")]
    processor = " ".join(one[1].strip() for one in found if one)
    flags = set((re.search(r"flags\s*: (.*)", text) or ["", ""])[1].split())
    units = sorted(flags & {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16"})
    return ", ".join([
        processor, *units, f"torch {torch.__version__}", f"numpy {np.__version__}",
    ])  # fmt: skip


def run(case: str, folder: Path, demo: Path) -> Path:
    """Run a case; returns its output folder."""
    truth = next((demo / "reanalysis" / "20CR").glob("*.nc"))
    call = [word.format(demo=demo, truth=truth) for word in CASES[case]]
    output = folder / re.sub(r"\W+", "-", case)
    site = folder / "climrecon.toml"
    parts = "[slurm]\nvalues_per_part = 1000000\n" if case == "demo in parts" else ""
    site.write_text(f'network_store = ["{folder / "networks"}"]\n{parts}')
    environment = {**os.environ, "CLIMRECON_CONFIG": str(site), "OMP_NUM_THREADS": "1"}
    quiet = ["--plots", "false", *(["--report", "false"] if call[0] != "train" else [])]
    answer = subprocess.run(
        [sys.executable, "-m", "climrecon", *call, *quiet, "--dispatch", "local", "--cachedir", str(folder / "cache"),
         "--output", str(output)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise AssertionError(answer.stderr[-3000:])
    return output


def digest(content: Any) -> str:
    """Short hash of bytes, or of JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()[:20]


def hashes(output: Path) -> dict[str, str]:
    """What a run left, part by part: each variable, its attributes, the global ones; scores; weights."""
    found: dict[str, str] = {}
    for path in sorted(output.glob("*.nc")):
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            for name, variable in file.variables.items():
                found[f"{path.name} {name}"] = digest(np.ascontiguousarray(variable[:]).tobytes())
                found[f"{path.name} {name} attributes"] = digest(_attributes(variable))
            found[f"{path.name} attributes"] = digest(_attributes(file))
    if (output / "scores.json").exists():
        content = json.loads((output / "scores.json").read_text())
        found["scores"] = digest(content["scores"])
    if (output / "network.safetensors").exists():
        found["weights"] = digest((output / "network.safetensors").read_bytes())
        content = json.loads((output / "card.json").read_text())
        found["card scores"] = digest(content["scores"])
    return found


def _attributes(of: Any) -> dict[str, str]:
    found = {name: str(of.getncattr(name)) for name in of.ncattrs() if name not in VOLATILE}
    return {name: re.sub(r"climrecon \d+\.\d+\.\d+", "climrecon", text) for name, text in found.items()}


def numbers(output: Path) -> dict[str, list[float]]:
    """Mean and spread of what a run left, for machines whose bits are others."""
    found: dict[str, list[float]] = {}
    for path in sorted(output.glob("*.nc")):
        with netCDF4.Dataset(path) as file:
            for name, variable in file.variables.items():
                if variable.ndim >= 3:
                    values = np.ma.filled(variable[:].astype(float), np.nan)
                    found[f"{path.name} {name}"] = [
                        float(f(values)) for f in (np.nanmean, np.nanstd, np.nanmin, np.nanmax)
                    ]
    if (output / "scores.json").exists():
        scores = json.loads((output / "scores.json").read_text())["scores"]
        found |= {f"rmse {name}": [float(one["cells"]["rmse"])] for name, one in scores.items()}
    if (output / "card.json").exists():
        cases = json.loads((output / "card.json").read_text())["scores"]["cases"]
        found |= {
            f"trained {case}": [float(one["rmse"]) for one in methods.values()] for case, methods in cases.items()
        }
    return found


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    demo = folder / "archive"
    if not (demo / "catalogue.json").exists():
        subprocess.run([sys.executable, "-m", "climrecon", "demo", str(demo)], check=True, stdout=subprocess.DEVNULL)
    recorded: dict[str, Any] = {"machines": {}, "hashes": {}, "numbers": {}}
    for case in sys.argv[2:] or CASES:
        output = run(case, folder, demo)
        recorded["machines"][case] = machine()
        recorded["hashes"][case], recorded["numbers"][case] = hashes(output), numbers(output)
        print(case, file=sys.stderr)
    print(json.dumps(recorded, indent=1))


if __name__ == "__main__":
    main()

"""Train the recipe's network for each split, whole and with one part of it taken away, and score it there.

    python benchmarks/ablation.py --data SHARED_DATA --out FOLDER [--splits acbd] [--parts nothing,…] [--settings …]

Each network is trained by ``climrecon train`` on GISTEMP of 1930-2002 under CRUTEM4's masks, without the months that the
split scores, and scored by benchmarks/skill.py (clean and noisy, one seed). FOLDER keeps the networks and
``ablation.json``: the same command goes on. ``--settings pool=4000,iterations=1200`` makes shorter trainings.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import xarray as xr
from splits import MODELS

from climrecon.files import write_text
from climrecon.training.sets import family_of

PATTERNS = "forced_patterns_cmip5/tas_patterns_41_models_5x5.nc"
#: Years held out and validated on. Those of (b) may touch what is scored by a margin of two months alone.
YEARS = {
    "a": "hold_out=1986-2002,validate_on=1940-1941 1951-1952 1961-1962 1969-1971 1979-1981",
    "b": "hold_out=1930-1974,validate_on=1978-1979 1985-1986 1992-1993 1998-1999",
    "c": "hold_out=1963-1967 1973-1977 1983-1987 1993-1997,validate_on=1969-1971 1979-1981 1989-1991",
}
YEARS["d"] = YEARS["c"]
#: Part -> settings of the recipe without it, and the models whose patterns are used: all, one or none.
PARTS = {
    "nothing": ("", "all"),
    "patterns of all models": ("", "none"),
    "patterns of all models but one": ("", "one"),
    "samples of other climates": ("climates=0", "all"),
    "neighbouring months": ("neighbour_months=0", "all"),
    "the U-Net": ("", "all"),
}
SITE = """network_store = ["{store}"]
[training_data.gistemp]
files = [
  "{data}/observations/gistemp/gistemp1200_v4_5x5_base6190_188001-200212.nc",
  "{data}/training/gistemp/gistemp_complete_5x5_196001-200212.nc",
]
join = true
period = "1930-2002"
"""


def patterns_of(data: Path, split: str, which: str, out: Path) -> Path | None:
    """The file of patterns: in (d) without the families of the models that are the truth."""
    if which == "none":
        return None
    if which == "all" and split != "d":
        return data / PATTERNS
    with xr.open_dataset(data / PATTERNS) as patterns:
        names = [str(name) for name in patterns["model"].values]
        kin = {family_of(name) for name in MODELS} if split == "d" else set()
        rows = [row for row, name in enumerate(names) if family_of(name) not in kin]
        chosen = patterns.isel(model=rows if which == "all" else rows[:1]).load()
    path = out / f"patterns-{split}-{which}.nc"
    chosen.to_netcdf(path)
    return path


def trained(data: Path, split: str, part: str, settings: str, out: Path) -> Path:
    """The folder of the network without the months that are scored; trained unless it is there."""
    changed, which = PARTS[part]
    name = f"{split}-{part}".replace(" ", "-")
    folder = out / "networks" / name
    if folder.is_dir():
        return folder
    work = out / "work" / name
    work.mkdir(parents=True, exist_ok=True)
    write_text(work / "climrecon.toml", SITE.format(store=work / "store", data=data))
    recipe = ",".join(filter(None, ("punet", YEARS[split], changed, settings)))
    patterns = patterns_of(data, split, which, out)
    command = [
        sys.executable, "-m", "climrecon", "train", "--training-data", "gistemp", "--training-target", "tas",
        "--masks", str(data / "observations/crutem4/CRUTEM.4.3.0.0.anomalies.nc"), "--reference-period", "1961-1990",
        "--network-name", name, "--recipe", recipe, "--plots", "false", "--dispatch", "local",
        "--cachedir", str(work / "cache"), "--output", str(work / "out"),
        *(["--forced-patterns", str(patterns)] if patterns else []),
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "CLIMRECON_CONFIG": str(work / "climrecon.toml")})
    (scored,) = (work / "cache/training/runs").glob("*/network")
    card = json.loads((scored / "card.json").read_text(encoding="utf-8"))
    write_text(scored / "card.json", json.dumps({**card, "name": name}))
    folder.parent.mkdir(exist_ok=True)
    shutil.move(scored, folder)
    return folder


def rows_of(data: Path, split: str, part: str, network: Path) -> list[dict[str, Any]]:
    """Scores of a network, or of the interpolation that its U-Net corrects."""
    script = Path(__file__).with_name("skill.py")
    given = f"oi:{network}" if part == "the U-Net" else str(network)
    command = [sys.executable, str(script), "--data", str(data), "--split", split, "--networks", given]
    answer = subprocess.run(
        [*command, "--cases", "clean,noisy", "--seeds", "1", "--json"], check=True, capture_output=True
    )
    measured = json.loads(answer.stdout)
    (name,) = measured["held_out_ok"]
    if not measured["held_out_ok"][name]:
        raise SystemExit(f"{network} is not held out: {answer.stderr.decode()}")
    return [
        {"part": part, "split": split, "case": case, "rmse": methods[name]["rmse"], "oi": methods["learned OI"]["rmse"]}
        for case, methods in measured["cases"].items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--splits", default="acbd")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--settings", default="", help="further settings of the recipe")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the output is JSON always")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "ablation.json"
    rows = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    for split in options.splits:
        for part in options.parts.split(","):
            if any((row["split"], row["part"]) == (split, part) for row in rows):
                continue
            of = "nothing" if part == "the U-Net" else part
            network = trained(options.data, split, of, options.settings, options.out)
            rows += rows_of(options.data, split, part, network)
            write_text(kept, json.dumps(rows, indent=1))
            print(json.dumps(rows[-2:]), flush=True)


if __name__ == "__main__":
    main()

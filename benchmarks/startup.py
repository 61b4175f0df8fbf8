"""What the plugin costs where nothing is computed: listing plugins, importing the package, showing help.

    python benchmarks/startup.py [--json] [--runs 7]

`freva plugin -l` with our plugin and without any, in turn, as whole processes; needs host_env
(`make host_env`) beside the repository's own environment, else that part is left out and said so.
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

ROOT = Path(__file__).resolve().parent.parent
HOST = ROOT / "host_env" / "bin" / "python"

_SETUP = """
import json, sys
sys.path.insert(0, {folder!r})
import setup_host
setup_host.install_startup()
environment = setup_host.write_configuration({state!r})
setup_host.create_tables(environment)
json.dump(environment, sys.stdout)
"""


def seconds(command: list[str], environment: dict[str, str] | None = None) -> float:
    before = time.monotonic()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.monotonic() - before


def listing(runs: int) -> dict[str, float]:
    """Seconds of `freva plugin -l` with and without the plugin, and the median difference of the pairs."""
    with tempfile.TemporaryDirectory() as folder:
        code = _SETUP.format(folder=str(ROOT / "host"), state=folder)
        answer = subprocess.run([str(HOST), "-c", code], check=True, capture_output=True, text=True)
        ours = json.loads(answer.stdout)
        config = Path(ours["EVALUATION_SYSTEM_CONFIG_FILE"])
        bare = config.with_name("bare.conf")
        bare.write_text(config.read_text().partition("[plugin:climrecon]")[0])
        without = {**ours, "EVALUATION_SYSTEM_CONFIG_FILE": str(bare)}
        command = [str(HOST.with_name("freva")), "plugin", "-l"]
        assert "ClimRecon" in subprocess.run(command, env=ours, capture_output=True, text=True).stdout
        assert "ClimRecon" not in subprocess.run(command, env=without, capture_output=True, text=True).stdout
        pairs = [(seconds(command, ours), seconds(command, without)) for _ in range(runs)]
    return {
        "freva_plugin_list_seconds": round(statistics.median(a for a, _ in pairs), 3),
        "freva_plugin_list_without_seconds": round(statistics.median(b for _, b in pairs), 3),
        "freva_plugin_list_added_seconds": round(statistics.median(a - b for a, b in pairs), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    python = sys.executable
    calls = {
        "import_climrecon": ([python, "-c", "import climrecon"], [python, "-c", "pass"]),
        "help": ([python, "-m", "climrecon", "--help"], [python, "-c", "pass"]),
    }
    result: dict[str, object] = {"benchmark": "startup", "runs": options.runs}
    for name, (command, reference) in calls.items():
        pairs = [(seconds(command), seconds(reference)) for _ in range(options.runs)]
        result[f"{name}_seconds"] = round(statistics.median(a for a, _ in pairs), 3)
        result[f"{name}_added_to_python_seconds"] = round(statistics.median(a - b for a, b in pairs), 3)
    if HOST.exists():
        result.update(listing(options.runs))
    else:
        result["freva"] = "left out: there is no host_env"
    result["machine"] = (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    )
    print(json.dumps(result) if options.json else "\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()

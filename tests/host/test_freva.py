"""The real Freva: on one SQLite file, and on a real MariaDB server."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.measured import unmeasured

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "host_env" / "bin" / "python"
pytestmark = pytest.mark.host

_SETUP = """
import json, sys
sys.path.insert(0, {folder!r})
import setup_host
setup_host.install_startup()
environment = setup_host.write_configuration({state!r}, {database!r})
setup_host.create_tables(environment)
json.dump(environment, open({answer!r}, "w"))
"""


class Host:
    """A Freva host in a folder of its own."""

    def __init__(self, folder: Path, demo: Path, database: dict[str, str] | None) -> None:
        if not HOST.exists():
            raise AssertionError("host_env is missing: run make host_env")
        self.state = folder / "host"
        answer = folder / "environment.json"
        code = _SETUP.format(folder=str(ROOT / "host"), state=str(self.state), database=database, answer=str(answer))
        subprocess.run([str(HOST), "-c", code], check=True)
        site = folder / "climrecon.toml"
        site.write_text(
            f'network_store = ["{folder / "networks"}"]\n[defaults]\ncatalogue = "{demo / "catalogue.json"}"\n'
        )
        environment = unmeasured(json.loads(answer.read_text()))
        self.environment = {**environment, "CLIMRECON_CONFIG": str(site), "OMP_NUM_THREADS": "2"}

    def freva(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        command = [str(HOST.with_name("freva")), *arguments]
        return subprocess.run(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(HOST), "-c", code],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )

    def statuses(self) -> list[str]:
        """Status of all runs, newest first."""
        lines = [line for line in self.freva("history").stdout.splitlines() if ") climrecon [" in line]
        return [line.split("]")[1].split()[0] for line in lines]

    def newest(self, plugin: str = "climrecon") -> Path:
        folders = self.state.glob(f"output/*/*/*/{plugin}/*")
        return max((path for path in folders if path.name.isdigit()), key=lambda path: int(path.name))


@pytest.fixture(scope="module")
def sqlite(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("sqlite"), demo, None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def mariadb(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host on a MariaDB server of its own, on loopback, stopped afterwards."""
    server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    if not Path(server).exists():
        raise AssertionError("MariaDB is missing: install the package mariadb-server")
    folder = tmp_path_factory.mktemp("mariadb")
    data, port, socket_file = folder / "data", free_port(), folder / "s"
    user = [] if os.geteuid() else ["--user=root"]
    subprocess.run(
        ["mariadb-install-db", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", *user],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = (folder / "log").open("w")
    child = subprocess.Popen(
        [server, "--no-defaults", f"--datadir={data}", f"--port={port}", f"--socket={socket_file}", "--bind-address=127.0.0.1", *user],
        stdout=log, stderr=log,
    )  # fmt: skip
    try:
        sql = "CREATE DATABASE freva; CREATE USER freva@'%' IDENTIFIED BY 'pw'; GRANT ALL ON freva.* TO freva@'%'; CREATE USER freva@localhost IDENTIFIED BY 'pw'; GRANT ALL ON freva.* TO freva@localhost;"
        for _ in range(240):
            if (
                subprocess.run(
                    ["mariadb", "--no-defaults", f"--socket={socket_file}", "-u", "root", "-e", sql],
                    stderr=subprocess.DEVNULL,
                    check=False,
                ).returncode
                == 0
            ):
                break
            time.sleep(0.5)
        else:
            raise AssertionError((folder / "log").read_text()[-2000:])
        database = {"host": "127.0.0.1", "port": str(port), "user": "freva", "passwd": "pw", "db": "freva"}
        yield Host(folder, demo, database)
    finally:
        child.terminate()
        child.wait(120)
        log.close()


#: Most of the time of a small training goes into covariances, one for each fold.
SMALL = "recipe=native,rank=12,width=4,pool=64,folds=1,checks=16,validation_years=1,check_every=20"
FAST = ("period=1877", "plots=false", "report=false", "compare_with=none")


@pytest.mark.parametrize(
    "name",
    [
        "plugin.py",
        "plugin_train.py",
        "plugin_evaluate.py",
        "plugin_explain.py",
        "plugin_compare.py",
        "plugin_benchmark.py",
    ],
)
def test_the_plugin_files_suit_an_old_host(name: str) -> None:
    source = (ROOT / name).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    assert not any(isinstance(node, ast.Name) and node.id == "__file__" for node in ast.walk(tree))
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert names - {"climrecon", "evaluation_system"} <= set(sys.stdlib_module_names)


def test_it_is_listed_and_described(sqlite: Host) -> None:
    described = sqlite.freva("plugin", "climrecon", "--doc").stdout
    for word in ("variable", "keep_observed", "1850-2025"):
        assert word in described
    assert "truth_file" not in described


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_a_run_in_the_foreground(kind: str, request: pytest.FixtureRequest) -> None:
    host: Host = request.getfixturevalue(kind)
    answer = host.freva("plugin", "climrecon", "variable=tas", "period=1875-1880")
    assert answer.returncode == 0, answer.stdout
    assert "Reconstructing 72 months with punet6" in answer.stdout
    folder = host.newest()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["run_id"] == folder.name
    assert host.statuses()[0] == "finished"
    previews = [path for path in (host.state / "preview").rglob("*") if path.suffix in (".png", ".jpg")]
    assert len(previews) >= 3


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_a_failed_run_is_broken_and_has_its_exit_code(kind: str, request: pytest.FixtureRequest) -> None:
    host: Host = request.getfixturevalue(kind)
    answer = host.freva("plugin", "climrecon", "model=nonsense")
    assert answer.returncode == 3, answer.stdout
    assert "there is HadCRUT5" in answer.stdout
    assert host.statuses()[0] == "broken"


def test_old_names_of_parameters_are_taken_with_a_note(sqlite: Host) -> None:
    answer = sqlite.freva("plugin", "climrecon", "period=1877", "against=idw", "dryrun=true")
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.count("Note: against is now called compare_with") == 1
    assert ": idw\n" in answer.stdout
    code = "import freva; freva.run_plugin('climrecon', period='1877', against='oi', dryrun=True)"
    answer = sqlite.python(code)
    assert answer.returncode == 0, answer.stdout
    assert ": oi\n" in answer.stdout


def test_bad_parameters_are_refused_before_a_run(sqlite: Host) -> None:
    before = len(sqlite.statuses())
    answer = sqlite.freva("plugin", "climrecon", "varable=tas", "realisations=many", "network=$HOME")
    assert answer.returncode == 2
    for word in ("did you mean variable?", "integer, 0 to 1000", "holds a $"):
        assert word in answer.stdout
    assert len(sqlite.statuses()) == before


def test_without_any_parameter_the_batch_options_are_the_hosts_and_the_sites(
    sqlite: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "climrecon.toml"
    site.write_text('[slurm]\ncpus_per_task = 4\nmemory = "8G"\n')
    monkeypatch.setitem(sqlite.environment, "CLIMRECON_CONFIG", str(site))
    config = Path(sqlite.environment["EVALUATION_SYSTEM_CONFIG_FILE"])
    changed = tmp_path / "evaluation_system.conf"
    changed.write_text(config.read_text().replace("extra_options = ", "extra_options = --qos=low"))
    monkeypatch.setitem(sqlite.environment, "EVALUATION_SYSTEM_CONFIG_FILE", str(changed))
    code = (
        "from evaluation_system.misc import logger\nlogger.is_cli = True\nimport freva\n"
        "from evaluation_system.api import plugin_manager as pm\n"
        "print('OPTIONS', pm.parse_arguments('climrecon', [])['extra_scheduler_options'])"
    )
    answer = sqlite.python(code).stdout
    assert "OPTIONS --qos=low,--cpus-per-task=4,--mem=8G\n" in answer, answer


def test_from_a_python_session(sqlite: Host) -> None:
    code = (
        "import freva\n"
        "run = freva.run_plugin('climrecon', period='1877', plots=False, report=False, compare_with='none', network='punet6')\n"
        "print('STATUS', run.status, [str(p) for p in run.get_result_paths()])"
    )
    answer = sqlite.python(code)
    assert "STATUS finished" in answer.stdout, answer.stdout
    assert "tas_mon_climrecon-punet6" in answer.stdout
    failed = sqlite.python("import freva\nfreva.run_plugin('climrecon', model='nonsense')")
    assert failed.returncode != 0
    assert "exit code 3" in failed.stdout


def test_processes_of_the_host_end_when_they_are_told_to(sqlite: Host) -> None:
    # The host makes previews in 24 forked processes; with its own handlers in them it waited forever now and then.
    code = (
        "import os, signal, time, freva\n"
        "freva.run_plugin('climrecon', period='1877', dryrun=True)\n"
        "assert callable(signal.getsignal(signal.SIGTERM)), 'the host has handlers no more'\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    time.sleep(60)\n"
        "    os._exit(0)\n"
        "os.kill(child, signal.SIGTERM)\n"
        "print('ENDED', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "print('BLOCKED', signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    )
    answer = sqlite.python(code).stdout
    assert "ENDED -15" in answer, answer
    assert "BLOCKED set()" in answer, answer


def test_values_with_spaces_and_quotes(sqlite: Host, demo: Path, tmp_path: Path) -> None:
    (source,) = demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    folder = tmp_path / 'it\'s a "folder"'
    folder.mkdir()
    copy = folder / source.name
    copy.symlink_to(source)
    answer = sqlite.freva("plugin", "climrecon", f"obs_file={copy}", *FAST)
    assert answer.returncode == 0, answer.stdout


def test_a_dry_run(sqlite: Host) -> None:
    answer = sqlite.freva("plugin", "climrecon", "dryrun=true", "period=1877")
    assert answer.returncode == 0, answer.stdout
    assert "Would reconstruct" in answer.stdout


@pytest.mark.timeout(1200)
def test_a_network_is_trained_and_then_used(sqlite: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the demo's models to a network with its card and figures, and from its name to a reconstruction."""
    # Two threads for many small matrices wait for each other where the cores are busy otherwise.
    monkeypatch.setitem(sqlite.environment, "OMP_NUM_THREADS", "1")
    train = ("plugin", "climrecon", "task=train", "training_data=cmip5", "network_name=mine")
    plan = sqlite.freva(*train, "dryrun=true")
    assert plan.returncode == 0, plan.stdout
    assert "4 members of 2 model families" in plan.stdout
    assert "starting from scratch" in plan.stdout
    answer = sqlite.freva(*train, SMALL, "iterations=20", timeout=900)
    assert answer.returncode == 0, answer.stdout
    assert "Stored in" in answer.stdout
    assert sqlite.statuses()[0] == "finished"
    folder = sqlite.newest()
    card = json.loads((folder / "card.json").read_text())
    uses = card["training"]["members"]
    assert [len(uses[use]) for use in ("train", "validation", "test")] == [2, 1, 1]
    assert {row["family"] for row in uses["train"]}.isdisjoint(row["family"] for row in uses["test"])
    assert "kriging" in card["scores"]["cases"]["1877-09 noisy"]
    roles = {entry["role"] for entry in json.loads((folder / "manifest.json").read_text())["outputs"]}
    assert {"network", "card", "figure", "provenance"} <= roles
    used = sqlite.freva("plugin", "climrecon", "network=mine", *FAST)
    assert used.returncode == 0, used.stdout
    assert list(sqlite.newest().glob("tas_mon_climrecon-mine_HadCRUT.5.0.2.0_187701-187712.nc"))
    tuned = sqlite.freva("plugin", "climrecon", "task=train", "training_data=cmip5", "network=punet6", "dryrun=true")
    assert "starting from punet6" in tuned.stdout, tuned.stdout


def test_each_variable_reaches_the_data_browser_in_a_file_of_its_own(sqlite: Host) -> None:
    answer = sqlite.freva("plugin", "climrecon", "add_to_databrowser=true", *FAST)
    assert answer.returncode == 0, answer.stdout
    files = {path.name.split("_")[0] for path in sqlite.state.rglob("user-*/**/*.nc")}
    assert {"tas", "tas-analysis", "tas-stddev"} <= files, sorted(sqlite.state.rglob("user-*/**/*.nc"))


def test_a_stopped_host_stops_the_run_and_leaves_nothing(sqlite: Host) -> None:
    child = subprocess.Popen(
        [str(HOST.with_name("freva")), "plugin", "climrecon", "variable=tas"],
        env={**sqlite.environment, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    for line in child.stdout:
        if "Reconstructing" in line:
            break
    child.send_signal(signal.SIGTERM)
    child.stdout.read()
    assert child.wait(180) != 0
    folder = sqlite.newest()
    assert not list(folder.iterdir())
    assert sqlite.statuses()[0] == "broken"
    running = subprocess.run(
        ["pgrep", "-f", "climrecon run .*climrecon-.*json"], capture_output=True, text=True, check=False
    )
    # Others may run the plugin at the same time; those of this host have its folders in their environment.
    own = str(sqlite.state).encode()
    assert not [pid for pid in running.stdout.split() if own in environment_of(pid)]


def environment_of(pid: str) -> bytes:
    """The environment of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def test_without_its_environment_the_plugin_says_what_to_do(sqlite: Host, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(ROOT / "plugin.py", bare)
    shutil.copytree(ROOT / "climrecon", bare / "climrecon", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    config = Path(sqlite.environment["EVALUATION_SYSTEM_CONFIG_FILE"])
    changed = tmp_path / "evaluation_system.conf"
    sections = config.read_text().partition("[plugin:")[0]
    changed.write_text(f"{sections}[plugin:climrecon]\npython_path = {bare}\nmodule = plugin\n")
    environment: dict[str, Any] = {**sqlite.environment, "EVALUATION_SYSTEM_CONFIG_FILE": str(changed)}
    answer = subprocess.run(
        [str(HOST.with_name("freva")), "plugin", "climrecon", "variable=tas"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert answer.returncode == 7, answer.stdout
    assert "make plugin_env" in answer.stdout

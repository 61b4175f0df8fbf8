"""The real Freva on a real Slurm: in the foreground with dispatch=slurm, and with --batchmode."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from helpers.cluster import Cluster
from helpers.user import User, wait_until
from host.test_freva import FAST, HOST, Host

pytestmark = [pytest.mark.host, pytest.mark.slow]

_OPTIONS = {"queue": "shared", "project": "ab0123", "memory": "2G", "walltime": "00:10:00", "cpus": "1"}


class SlurmHost(Host):
    """A host whose ``--batchmode`` submits to Slurm."""

    def __init__(self, folder: Path, demo: Path, user: User) -> None:
        super().__init__(folder, demo, None)
        self.user = user
        path = Path(self.environment["EVALUATION_SYSTEM_CONFIG_FILE"])
        content = configparser.ConfigParser(interpolation=None)
        content.read(path)
        content["evaluation_system"]["scheduler_system"] = "slurm"
        content["scheduler_options"].update(_OPTIONS)
        with path.open("w") as file:
            content.write(file)
        for name in ("SLURM_CONF", "CLIMRECON_CONFIG", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            self.environment[name] = user.environment[name]
        self.environment["OMP_NUM_THREADS"] = "1"

    def freva(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As the host's own, with more patience: jobs wait for each other and for the cores."""
        return subprocess.run(
            [str(HOST.with_name("freva")), *arguments], env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False,
        )  # fmt: skip

    def jobs(self) -> dict[str, list[str]]:
        """Partition of every job in the queue, by name: of the host's own, and of ours."""
        lines = self.user.cluster.call("squeue", "-h", "-o", "%j %P %i").splitlines()
        found: dict[str, list[str]] = {}
        for line in lines:
            name, partition, number = line.split()
            if partition != "slow":  # where runs of other tests are
                found.setdefault("host" if "-" not in name else "ours", []).extend([partition, number])
        return found

    def log(self) -> str:
        logs = sorted(self.state.rglob("scheduler_out/**/*.out"), key=lambda path: path.stat().st_mtime)
        return logs[-1].read_text() if logs else ""


@pytest.fixture(scope="module")
def host(cluster: Cluster, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> SlurmHost:
    folder = tmp_path_factory.mktemp("freva")
    return SlurmHost(folder, demo, User(cluster, folder, demo / "catalogue.json"))


def test_the_foreground_waits_for_its_jobs(host: SlurmHost) -> None:
    answer = host.freva("plugin", "climrecon", "dispatch=slurm", *FAST)
    assert answer.returncode == 0, answer.stdout
    assert "reconstruct (job" in answer.stdout
    folder = host.newest()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["run_id"] == folder.name
    assert host.statuses()[0] == "finished"
    assert host.user.jobs("list")[0]["state"] == "done"


def test_methods_of_a_benchmark_are_a_job_array(host: SlurmHost) -> None:
    small = ("period=1911-1912", "gaps=early=1871-1872", "methods=idw,climatology")
    answer = host.freva("plugin", "climreconbenchmark", *small, "options=dispatch=slurm, plots=false")
    assert answer.returncode == 0, answer.stdout
    folder = host.newest("climreconbenchmark")
    parts = ("prepare 0", "reconstruct 0", "reconstruct 1", "collect 0")
    assert host.user.states(folder) == dict.fromkeys(parts, "done")
    rows = json.loads((folder / "leaderboard.json").read_text())["boards"][0]["rows"]
    assert [row["method"] for row in rows] == ["idw", "climatology"]


def test_a_job_that_fails_makes_the_run_broken_with_its_exit_code(host: SlurmHost, tmp_path: Path) -> None:
    broken = tmp_path / "broken.nc"
    broken.write_text("no netCDF")
    answer = host.freva("plugin", "climrecon", "dispatch=slurm", f"obs_file={broken}")
    assert answer.returncode == 4, answer.stdout
    assert "broken.nc" in answer.stdout
    assert host.statuses()[0] == "broken"
    assert host.user.jobs("list")[0]["state"] == "failed"


def test_what_is_not_there_is_refused_before_anything_is_submitted(host: SlurmHost) -> None:
    before = len(host.user.jobs("list"))
    answer = host.freva("plugin", "climrecon", "dispatch=slurm", "model=nonsense")
    assert answer.returncode == 3, answer.stdout
    assert "there is HadCRUT5" in answer.stdout
    assert host.statuses()[0] == "broken"
    assert len(host.user.jobs("list")) == before


def test_without_slurm_the_run_is_broken_and_says_why(host: SlurmHost, tmp_path: Path) -> None:
    silent = tmp_path / "slurm.conf"
    text = host.user.cluster.configuration.read_text()
    silent.write_text("\n".join("SlurmctldPort=1" if "SlurmctldPort" in t else t for t in text.splitlines()))
    before = host.environment
    host.environment = {**before, "SLURM_CONF": str(silent)}
    try:
        answer = host.freva("plugin", "climrecon", "dispatch=slurm", *FAST)
    finally:
        host.environment = before
    assert answer.returncode == 7, answer.stdout
    assert "does not answer" in answer.stdout
    assert host.statuses()[0] == "broken"


def jobs_seen_until_the_end(host: SlurmHost, what: str, seconds: float) -> dict[str, Any]:
    """The host's own job and ours, as they were seen in the queue until none was left."""
    seen: dict[str, Any] = {}

    def ended() -> bool:
        found = host.jobs()
        seen.update(found)
        return "host" in seen and not found

    wait_until(ended, what, seconds)
    return seen


def test_batch_mode_submits_to_the_shared_partition_and_jobs_of_its_own(host: SlurmHost) -> None:
    # A caption is the host's own; it must not get into a script either.
    answer = host.freva(
        "plugin",
        "climrecon",
        "--batchmode",
        "--caption",
        "a\n#SBATCH --partition=gpu\ntouch hacked",
        "dispatch=slurm",
        *FAST,
    )
    assert "Scheduled job" in answer.stdout, answer.stdout
    seen = jobs_seen_until_the_end(host, "the host's job to end", 400)
    assert seen["host"][0] == seen["ours"][0] == "shared"
    assert host.statuses()[0] == "finished", host.log()
    assert (host.newest() / "manifest.json").exists()
    assert not list(host.state.rglob("hacked"))


def test_scancel_of_the_hosts_job_cancels_its_jobs(host: SlurmHost) -> None:
    answer = host.freva("plugin", "climrecon", "--batchmode", "dispatch=slurm")
    assert "Scheduled job" in answer.stdout, answer.stdout
    jobs = wait_until(lambda: (found := host.jobs()) and "ours" in found and found, "a job of ours", 300)
    host.user.cluster.call("scancel", jobs["host"][1])
    wait_until(lambda: not host.jobs(), "both to end", 240)
    assert host.statuses()[0] == "broken", host.log()
    assert host.user.jobs("list")[0]["state"] == "cancelled"
    assert not (host.newest() / "manifest.json").exists()


def test_detached_from_the_host(host: SlurmHost) -> None:
    answer = host.freva("plugin", "climrecon", "dispatch=slurm", "detach=true", *FAST)
    assert answer.returncode == 0, answer.stdout
    assert "Submitted as run" in answer.stdout
    folder = host.newest()
    wait_until(lambda: (folder / "manifest.json").exists(), "the detached run", 240)


def test_a_training_is_a_chain_of_jobs(host: SlurmHost) -> None:
    """The real training, from the demo's models to a network that is used; again, it only collects."""
    host.user.site(network_store=[str(host.user.folder / "store")])
    train = (
        "plugin",
        "climrecon",
        "task=train",
        "training_data=cmip5",
        "network_name=mine",
        "recipe=kadow2020",
        "iterations=4",
        "plots=false",
    )
    answer = host.freva(*train, "dispatch=auto")
    assert answer.returncode == 0, answer.stdout
    for words in ("Submitting 3 jobs", "prepare: job", "4 parts", "train (job", "Stored in"):
        assert words in answer.stdout
    assert host.statuses()[0] == "finished"
    manifest = json.loads((host.newest() / "manifest.json").read_text())
    assert {"network", "card", "provenance"} <= {entry["role"] for entry in manifest["outputs"]}
    assert {part["state"] for part in host.user.jobs("list")[0]["parts"]} == {"done"}
    planned = host.freva(*train, "dryrun=true")
    for words in ("prepare: done already", "train: done already", "collect: sbatch --partition=shared"):
        assert words in planned.stdout


def test_a_training_in_batch_mode_ends_where_there_is_one_gpu(host: SlurmHost) -> None:
    """The host's job waits on the node whose only GPU the training needs; it holds none itself."""
    host.user.site(
        [str(host.user.folder / "store")], partition="single", gpu_partition="single", caller_walltime="00:30:00"
    )
    answer = host.freva(
        "plugin", "climrecon", "--batchmode", "task=train", "training_data=cmip5", "network_name=batch",
        "recipe=kadow2020", "iterations=4", "plots=false",
    )  # fmt: skip
    assert "Scheduled job" in answer.stdout, answer.stdout
    seen = jobs_seen_until_the_end(host, "the training in batch mode to end", 600)
    assert seen["host"][0] == seen["ours"][0] == "single"
    assert host.statuses()[0] == "finished", host.log()
    assert (host.newest() / "card.json").exists()
    (run, *_) = host.user.jobs("list")
    assert {part["node"] for part in run["parts"]} == {"n3"}


def scheduled(host: SlurmHost, answer: str) -> str:
    """The job script of the run that a call in batch mode scheduled."""
    (number,) = re.findall(r"history id: (\d+)", answer)
    code = (
        f"from evaluation_system.api import plugin_manager as pm; print(pm.get_batch_settings({number})['job_script'])"
    )
    return host.python(code).stdout


def test_batch_options_are_the_hosts_where_the_site_gives_none(host: SlurmHost) -> None:
    host.user.site_file.write_text(tomli_w.dumps({"defaults": {"catalogue": str(host.user.catalogue)}}))
    answer = host.freva("plugin", "climrecon", "--batchmode", "period=1877", "dryrun=true")
    script = scheduled(host, answer.stdout)
    for option in ("-p shared", "-A ab0123", "--cpus-per-task=1", "--mem=2G", "-t 00:10:00"):
        assert script.count(f"#SBATCH {option}\n") == 1, script
    assert script.count("--mem") == script.count("--cpus-per-task") == 1
    host.user.site_file.write_text(
        tomli_w.dumps({"defaults": {"catalogue": str(host.user.catalogue)}, "slurm": {"memory": "3G"}})
    )
    answer = host.freva("plugin", "climrecon", "--batchmode", "period=1877", "dryrun=true")
    script = scheduled(host, answer.stdout)
    assert script.index("--mem=2G") < script.index("--mem=3G"), "of options given twice Slurm takes the last"
    assert script.count("--cpus-per-task") == 1
    wait_until(lambda: not host.jobs(), "both jobs to end", 400)


def test_a_job_that_can_never_start_is_cancelled_and_the_run_broken(host: SlurmHost) -> None:
    options = "extra_scheduler_options=--time=10:00:00"
    answer = host.freva("plugin", "climrecon", "--batchmode", "period=1877", "dryrun=true", options)
    assert answer.returncode == 8, answer.stdout
    for words in (
        "can never start (PartitionTimeLimit)",
        "It would wait for ever and was cancelled",
        "time up to 1:00:00",
    ):
        assert words in answer.stdout
    assert host.statuses()[0] == "broken"
    wait_until(lambda: not host.jobs(), "the job to go", 60)

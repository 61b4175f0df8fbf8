"""A real Slurm of its own on one machine: nodes of four, four, one and two fake GPUs; no accounting database."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue")

#: cred_expire: how long a requeued job waits before it starts again. KillWait: between SIGTERM and SIGKILL.
_CONFIGURATION = """
ClusterName=climrecon
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
KillWait=5
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[1]} CPUs=16 RealMemory=64000 Gres=gpu:4
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[2]} CPUs=16 RealMemory=64000 Gres=gpu:4
NodeName=n3 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[3]} CPUs=4 RealMemory=64000 Gres=gpu:1
NodeName=n4 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[4]} CPUs=8 RealMemory=64000 Gres=gpu:2
PartitionName=shared Nodes=n1,n2 Default=YES MaxTime=60 State=UP
PartitionName=gpu Nodes=n1,n2 MaxTime=60 State=UP
PartitionName=single Nodes=n3 MaxTime=60 State=UP
PartitionName=slow Nodes=n4 MaxTime=60 State=UP
"""
_GPUS = """
NodeName=n[1-2] Name=gpu File=/dev/null,/dev/zero,/dev/full,/dev/random
NodeName=n3 Name=gpu File=/dev/null
NodeName=n4 Name=gpu File=/dev/null,/dev/zero
"""
NODES = ("n1", "n2", "n3", "n4")


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise AssertionError(f"{name} is missing: install slurm-wlm, slurmctld, slurmd and munge")
    return found


def free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Cluster:
    """Starts its daemons as children, with a configuration, ports, a key and a socket of their own."""

    def __init__(self, folder: Path) -> None:
        for name in PROGRAMS:
            _program(name)
        self.folder = folder
        (folder / "state").mkdir()
        for node in NODES:
            (folder / f"spool-{node}").mkdir()
        host = socket.gethostname().split(".")[0]
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(
            _CONFIGURATION.format(folder=folder, host=host, user=getpass.getuser(), ports=free_ports(5))
        )
        (folder / "gres.conf").write_text(_GPUS)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.environment = {"SLURM_CONF": str(self.configuration)}
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        f = self.folder
        self._spawn(
            "munged", "--foreground", "--force", f"--key-file={f}/munge.key", f"--socket={f}/munge.socket",
            f"--pid-file={f}/munged.pid", f"--log-file={f}/munged.log", f"--seed-file={f}/munged.seed",
        )  # fmt: skip
        self._until(lambda: (f / "munge.socket").exists(), "munged")
        self._spawn("slurmctld", "-D", "-i")
        for node in NODES:
            self._spawn("slurmd", "-D", "-N", node)
        ready = {f"{node}:idle" for node in NODES}
        self._until(lambda: set(self.call("sinfo", "-N", "-h", "-o", "%N:%T", check=False).split()) == ready, "Slurm")

    def _spawn(self, program: str, *arguments: str) -> None:
        log = (self.folder / f"{program}.out").open("ab")
        child = subprocess.Popen(
            [_program(program), *arguments],
            env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        self._children.append(child)
        log.close()

    def _until(self, true: object, what: str) -> None:
        for _ in range(150):
            if true():  # type: ignore[operator]
                return
            time.sleep(0.2)
        logs = "\n".join(path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log"))
        raise AssertionError(f"{what} did not start:\n{logs}")

    def call(self, *command: str, check: bool = True) -> str:
        answer = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=180, check=False
        )  # fmt: skip
        if check:
            assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def queue(self) -> list[str]:
        """Names of the jobs that are queued or running."""
        return self.call("squeue", "-h", "-o", "%j").split()

    def stop(self) -> None:
        self.call("scancel", "--me", "--quiet", check=False)
        for _ in range(40):
            if not self.call("squeue", "-h", check=False).strip():
                break
            time.sleep(0.25)
        for child in reversed(self._children):
            child.terminate()
        for child in self._children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

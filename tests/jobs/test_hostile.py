"""Values that try to get out of their quotes: refused, or harmless."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from climrecon.errors import UsageError
from climrecon.jobs.chain import Job, array_text, render
from climrecon.jobs.commands import clean_environment
from climrecon.settings import Site, validate
from climrecon.settings.site import SiteFile
from climrecon.settings.slurm import Slurm, minutes_of, walltime_of
from climrecon.workflow.slurm_options import options_of
from climrecon.workflow.stage import Stage

HOSTILE = [
    "x; touch hacked",
    "x\ntouch hacked",
    "$(touch hacked)",
    "`touch hacked`",
    "a b",
    "'",
    '"',
    "x\n",
    "-x",
    "a\n#SBATCH --uid=0",
]
PATHS = ["it's", 'a "b"', "$(touch hacked)", "`touch hacked`", "a; touch hacked", "a && touch hacked #", "ü ñ", "-rf"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "key",
    [
        "account",
        "partition",
        "gpu_partition",
        "qos",
        "constraint",
        "gres",
        "memory",
        "walltime",
        "mail_user",
        "caller_walltime",
    ],
)
def test_the_site_file_refuses(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=key):
        SiteFile.model_validate({"slurm": {key: value}})
    with pytest.raises(ValueError, match="modules"):
        SiteFile.model_validate({"slurm": {"modules": [value]}})


def test_what_sites_need_is_accepted() -> None:
    given = {
        "partition": "shared,compute", "gpu_partition": "gpu", "account": "bm1159", "constraint": "a100_40|a100_80",
        "gres": "gpu:a100", "memory": "0", "walltime": "1-12", "mail_user": "some.one@dkrz.de", "mail_type": ["END", "FAIL"],
        "modules": ["python3/2023.01-gcc-11.2.0", "cdo"], "qos": "",
    }  # fmt: skip
    assert Slurm.model_validate(given).model_dump(include=set(given)) == given


def test_the_example_for_levante_is_a_valid_site_file() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "climrecon.levante.toml").read_text()
    slurm = SiteFile.model_validate(tomllib.loads(text)).slurm
    options = options_of(
        Stage("train", lambda part, reporter: None, gpu=True, continues=True),
        True,
        validate({}, Site(SiteFile())),
        slurm,
    )
    assert {
        "--partition=gpu",
        "--constraint=a100_80",
        "--time=12:00:00",
        "--gres=gpu:1",
        "--mail-type=END,FAIL",
    } <= set(options)
    assert "--signal=B:USR1@300" in options
    assert slurm.account_required


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("90:30", 91),
        ("01:30:00", 90),
        ("1-0", 1440),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("2-00:00:01", 2881),
    ],
)
def test_times(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes
    assert minutes_of(walltime_of(minutes)) == minutes


def test_the_caller_of_a_training_lives_as_long_as_its_jobs() -> None:
    assert Slurm(walltime="01:00:00", gpu_walltime="12:00:00", max_links=2).waiting_walltime == "1-02:00:00"
    assert Slurm(max_links=1000).waiting_walltime == "7-00:00:00"


def job(**values: Any) -> Job:
    default = {
        "stage": "train",
        "parts": (0,),
        "array": False,
        "options": ("--time=5",),
        "python": "true",
        "arguments": ("-m",),
    }
    return Job(**{**default, **values})


def made(folder: Path, cwd: Path, **values: Any) -> str:
    return render(job(**values), name="climrecon-x", folder=folder, cwd=cwd, umask=0o022)


@pytest.mark.parametrize(
    "option", ["--output=/a b", "--comment=it's", "--a=b\n#SBATCH --uid=0", "-p x", "--x=$(y)", "--x=a;b"]
)
def test_an_option_that_is_none_is_refused(option: str) -> None:
    with pytest.raises(UsageError, match="options of sbatch"):
        made(Path("/tmp"), Path("/tmp"), options=(option,))


def test_users_options_reach_the_jobs_but_cannot_change_what_they_run() -> None:
    site = Site(SiteFile())
    cpu, gpu = (Stage("prepare", lambda part, reporter: None), Stage("train", lambda part, reporter: None, gpu=True))
    settings = validate({"extra_scheduler_options": "-A xy1234,--partition=big,--qos=high".replace(" ", "=")}, site)
    assert {"--account=xy1234", "--partition=big", "--qos=high"} <= set(options_of(cpu, False, settings, Slurm()))
    options = options_of(gpu, True, settings, Slurm(gpu_partition="gpu"))
    assert {"--account=xy1234", "--partition=gpu", "--qos=high", "--gres=gpu:1"} <= set(options)
    settings = validate({"extra_scheduler_options": "--wrap=x,--uid=0,--output=/etc/passwd"}, site)
    with pytest.raises(UsageError, match=r"--wrap=x, --uid=0, --output=/etc/passwd cannot be set"):
        options_of(cpu, False, settings, Slurm())


@pytest.mark.parametrize("name", PATHS)
def test_a_script_runs_in_any_folder(name: str, tmp_path: Path) -> None:
    """The script is really run by bash, and says where it was."""
    folder = tmp_path / name
    (folder / "status").mkdir(parents=True)
    # What it runs prints its arguments, one a line.
    text = made(folder, folder, python="printf", arguments=("%s\\n", name), environment={"CLIMRECON_CONFIG": name})
    script = tmp_path / "script.sh"
    script.write_text(text)
    environment = {"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "5", "SLURMD_NODENAME": "n1"}
    answer = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [name, "--part", "0", "--record", str(folder)]
    assert '"state": "done"' in (folder / "status" / "train-0.json").read_text()
    assert not list(tmp_path.rglob("hacked"))


@pytest.mark.parametrize("name", ["a%j", "a\\b", "a\nb"])
def test_a_folder_that_slurm_reads_as_a_pattern_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reads as a"):
        made(tmp_path / name, tmp_path)


def test_a_module_that_is_not_there_ends_the_job(tmp_path: Path) -> None:
    (tmp_path / "status").mkdir()
    script = tmp_path / "script.sh"
    script.write_text(made(tmp_path, tmp_path, modules=("no/such-module",)))
    environment = {"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "5"}
    answer = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 7
    assert "no/such-module cannot be loaded" in answer.stdout


def test_array_elements() -> None:
    assert array_text([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert array_text([3], 4) == "3%4"


def test_nothing_of_the_surrounding_job_is_handed_on() -> None:
    given = {
        "SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SBATCH_ACCOUNT": "x", "SRUN_CPUS_PER_TASK": "2", "CUDA_VISIBLE_DEVICES": "0",
        "SLURM_CONF": "/etc/slurm.conf", "HOME": "/h", "CLIMRECON_CONFIG": "c",
    }  # fmt: skip
    assert clean_environment(given) == {"SLURM_CONF": "/etc/slurm.conf", "HOME": "/h", "CLIMRECON_CONFIG": "c"}

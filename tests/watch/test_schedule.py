"""The scheduled line: in the real crontab, in systemd's units, and called with next to no environment."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from climrecon.errors import OutputError, UsageError
from climrecon.watch.schedule import tables
from climrecon.watch.schedule.job import Job, job_of, markers
from climrecon.watch.schedule.tables import script_of
from helpers.made_archive import MadeArchive

ROOT = Path(__file__).resolve().parents[2]
USER = "climrecon-crontab"
FOREIGN = '# mine\nMAILTO=""\n0 5 * * 1 /bin/echo a \\% sign # climrecon watch is not this\n\n  # indented\n'


class Crontab:
    """The real crontab program on a table that belongs to the test."""

    def __init__(self, folder: Path) -> None:
        self.program = shutil.which("crontab")
        if self.program is None:
            raise AssertionError("crontab is missing: install the package cron")
        self.folder = folder
        self.own = os.geteuid() != 0
        if not self.own:
            try:
                pwd.getpwnam(USER)
            except KeyError:
                subprocess.run(["useradd", "--system", "--no-create-home", USER], check=True)
        wrapper = folder / "crontab"
        user = "" if self.own else f"-u {USER}"
        wrapper.write_text(f'#!/bin/sh\nexec {self.program} {user} "$@"\n')
        wrapper.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        self.before = self.text()

    def text(self) -> str:
        answer = subprocess.run([self.folder / "crontab", "-l"], capture_output=True, text=True, check=False)
        return answer.stdout if answer.returncode == 0 else ""

    def write(self, text: str) -> None:
        subprocess.run([self.folder / "crontab", "-"], input=text, text=True, check=True)

    def restore(self) -> None:
        if self.before:
            self.write(self.before)
        else:
            subprocess.run([self.folder / "crontab", "-r"], capture_output=True, check=False)
        if not self.own:
            subprocess.run(["userdel", USER], capture_output=True, check=False)

    def climrecon(self, *arguments: str, code: int = 0, **variables: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-m", "climrecon", *arguments], env={**self.environment, **variables},
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert answer.returncode == code, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr


@pytest.fixture
def crontab(tmp_path: Path) -> Iterator[Crontab]:
    folder = tmp_path / "bin"
    folder.mkdir()
    made = Crontab(folder)
    try:
        yield made
    finally:
        made.restore()


def as_cron_calls(table: str) -> str:
    """The command of our line, as cron hands it to the shell."""
    begin, end = markers("climrecon")
    ours = table.split(begin)[1].split(end)[0]
    (line,) = [line for line in ours.splitlines() if line and not line.startswith("#")]
    return cron_word(line)


def cron_word(line: str) -> str:
    r"""The command of a line: what stands after five fields, \% made %, cut at a bare %."""
    command = line.split(None, 5)[5]
    called, escaped = "", False
    for character in command:
        if escaped and character == "%":
            called = called[:-1]
        elif character == "%":
            break
        escaped = character == "\\" and not escaped
        called += character
    return called


def call(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """With the environment of Debian's cron and nothing else."""
    bare = {"HOME": str(home), "LOGNAME": "somebody", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    pairs = [f"{key}={value}" for key, value in bare.items()]
    return subprocess.run(
        ["/usr/bin/env", "-i", *pairs, "/bin/sh", "-c", command], cwd=home, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_install_show_and_remove_leave_foreign_lines_alone(crontab: Crontab, tmp_path: Path) -> None:
    crontab.write(FOREIGN)
    output = tmp_path / "it's 100 % $HOME; `id`"
    common = ("--catalogue", "relative/catalogue.json", "--output", str(output))
    shown = crontab.climrecon("schedule", "install", *common, code=130)
    assert "17 * * * *" in shown
    assert "Add this to your crontab?" in shown
    assert crontab.text() == FOREIGN  # nobody said yes
    crontab.climrecon("schedule", "install", *common, "--yes", "--network", "idw")
    crontab.climrecon("schedule", "install", *common, "--yes", "--name", "second", "--at", "*/20 1-5 * * mon")
    table = crontab.text()
    assert table.startswith(FOREIGN)
    assert table.count(" watch --once ") == 2
    crontab.climrecon("schedule", "install", *common, "--yes", "--network", "kriging")  # again: replaced, not added
    table = crontab.text()
    assert (table.count("--network=kriging"), table.count("--network=idw")) == (1, 0)
    assert table.startswith(FOREIGN)
    listed = crontab.climrecon("schedule", "show")
    assert listed.count(": begin;") == 2
    assert "MAILTO" not in listed
    crontab.climrecon("schedule", "remove", "--yes", "--name", "second")
    crontab.climrecon("schedule", "remove", code=130)
    assert " watch --once " in crontab.text()
    crontab.climrecon("schedule", "remove", "--yes")
    assert crontab.text() == FOREIGN
    assert "No line" in crontab.climrecon("schedule", "remove", "--yes")


def test_a_wrong_time_is_refused_by_the_real_crontab_and_changes_nothing(crontab: Crontab, tmp_path: Path) -> None:
    crontab.write(FOREIGN)
    common = ("schedule", "install", "--yes", "--catalogue", "c.json", "--output", str(tmp_path / "out"))
    assert "refused the line" in crontab.climrecon(*common, "--at", "99 * * * *", code=6)
    assert "no time of a crontab" in crontab.climrecon(*common, "--at", "hourly; id", code=2)
    assert crontab.text() == FOREIGN


def test_lines_changed_by_hand_are_not_guessed_at(crontab: Crontab, tmp_path: Path) -> None:
    begin, _ = markers("climrecon")
    crontab.write(f"{begin}\n1 2 3 4 5 /bin/true\n")
    told = crontab.climrecon("schedule", "install", "--yes", "--catalogue", "c", "--output", str(tmp_path), code=6)
    assert "changed by hand" in told
    with pytest.raises(OutputError):
        tables.split(f"{begin}\n{begin}\n", "climrecon")


def test_the_installed_line_runs_with_next_to_no_environment(crontab: Crontab, tmp_path: Path) -> None:
    """Spaces, quotes, per cent and dollar signs in names; a site file; two looks, the second does nothing."""
    place = tmp_path / "it's 50 % $x"
    place.mkdir()
    archive = MadeArchive(place)
    archive.mean("5.0.2.0", 24)
    archive.build()
    site = place / "site.toml"
    site.write_text('[defaults]\nnetwork = "idw"\ncompare_with = "none"\n[watch]\nsettle_seconds = 0\n')
    output = place / "out"
    crontab.climrecon(
        "schedule", "install", "--yes", "--catalogue", str(archive.catalogue), "--output", str(output),
        "--plots", "false", "--report", "false", CLIMRECON_CONFIG=str(site),
    )  # fmt: skip
    command = as_cron_calls(crontab.text())
    assert call(command, tmp_path).returncode == 0
    log = (output / "watch.log").read_text()
    assert "Published HadCRUT.5.0.2.0_199001-199112" in log
    release = json.loads((output / "latest" / "release.json").read_text())
    assert release["network"] == "idw"
    assert call(command, tmp_path).returncode == 0
    assert "Nothing to do" in (output / "watch.log").read_text().splitlines()[-1]


@pytest.mark.host
def test_the_installed_line_runs_through_freva(crontab: Crontab, tmp_path: Path) -> None:
    from host.test_freva import HOST, Host

    host = Host(tmp_path, tmp_path, None)
    archive = MadeArchive(tmp_path)
    archive.mean("5.0.2.0", 24)
    archive.build()
    output = tmp_path / "out"
    kept = {
        key: value for key, value in host.environment.items() if key not in ("PATH",) and os.environ.get(key) != value
    }
    crontab.climrecon(
        "schedule", "install", "--yes", "--catalogue", str(archive.catalogue), "--output", str(output), "--through",
        "freva", "--freva", str(HOST.with_name("freva")), "--settle-seconds", "0", "--network", "idw", "--compare-with",
        "none", "--plots", "false", "--report", "false", **kept,
    )  # fmt: skip
    command = as_cron_calls(crontab.text())
    answer = call(command, tmp_path)
    log = (output / "watch.log").read_text()
    assert answer.returncode == 0, log + answer.stderr
    assert "Published" in log
    assert host.statuses() == ["finished"]
    assert (output / "latest" / "manifest.json").is_file()
    assert (output / "latest" / "run.log").is_file()
    assert call(command, tmp_path).returncode == 0
    assert host.statuses() == ["finished"]
    # A run that fails in the host has climrecon's exit code, and the old release stays.
    archive.mean("5.0.2.0", 25)
    for folder in (output / "releases").iterdir():
        before = folder.name
    script = output / "climrecon-watch-climrecon.sh"
    assert str(script) in command  # a host's many variables are too long for a line
    script.write_text(script.read_text().replace("--network=idw", "--network=nonsense"))
    failing = command
    assert call(failing, tmp_path).returncode == 5
    assert host.statuses() == ["broken", "finished"]
    assert (output / "latest").resolve().name == before


def test_scrontab_lines_carry_the_batch_options() -> None:
    job = Job("n", None, ("/py", "-m", "climrecon", "watch", "--once", "--output=/a b"), {"A": "1"}, Path("/l"))
    text = tables.table_lines("scrontab", job, "--partition=shared,--time=01:00:00")
    assert text.splitlines()[1:4] == [
        "#SCRON --partition=shared",
        "#SCRON --time=01:00:00",
        "17 * * * * /usr/bin/env A=1 /py -m climrecon watch --once '--output=/a b' >> /l 2>&1",
    ]
    with pytest.raises(UsageError, match="%"):
        tables.table_lines("scrontab", Job("n", None, ("/p%",), {}, Path("/l")))
    with pytest.raises(UsageError, match="backslash"):
        tables.table_lines("cron", Job("n", None, ("/p\\%",), {}, Path("/l")))


def test_a_call_too_long_for_cron_stands_in_a_script(crontab: Crontab, tmp_path: Path) -> None:
    archive = MadeArchive(tmp_path)
    archive.mean("5.0.2.0", 24)
    archive.build()
    output = tmp_path / "it's 50 %"
    crontab.write(FOREIGN)
    long = {f"CLIMRECON_LONG_{n}": f"$x ' % {'long' * 60}" for n in range(5)}
    crontab.climrecon(
        "schedule", "install", "--yes", "--catalogue", str(archive.catalogue), "--output", str(output), "--network",
        "climatology", "--compare-with", "none", "--plots", "false", "--report", "false", "--settle-seconds", "0", **long,
    )  # fmt: skip
    script = output / "climrecon-watch-climrecon.sh"
    assert all(len(line) < 1000 for line in crontab.text().splitlines())
    (line,) = [line for line in crontab.text().splitlines() if str(script.name) in line]
    assert call(cron_word(line), tmp_path).returncode == 0
    assert "Published" in (output / "watch.log").read_text()
    crontab.climrecon("schedule", "remove", "--yes")
    assert crontab.text() == FOREIGN
    assert not script.exists()


def test_systemd_units_are_verified_by_systemd(crontab: Crontab, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_RUNTIME_DIR": str(tmp_path)}
    common = ("--catalogue", "c.json", "--output", str(tmp_path / 'a "b" 5 % $x'))
    told = crontab.climrecon(
        "schedule", "install", "--kind", "systemd", "--yes", *common, "--at", "Mon *-*-* 05:00", **home
    )
    units = tmp_path / "config" / "systemd" / "user"
    names = sorted(path.name for path in units.iterdir())
    assert names == ["climrecon-watch-climrecon.service", "climrecon-watch-climrecon.timer"]
    assert "OnCalendar=Mon *-*-* 05:00" in (units / names[1]).read_text()
    assert '5 %% $$x"' in (units / names[0]).read_text()
    assert "Written to" in told or "Installed" in told
    verify = shutil.which("systemd-analyze")
    assert verify, "systemd-analyze is missing: install the package systemd"
    answer = subprocess.run(
        [verify, "verify", "--user", *map(str, units.iterdir())], env={**crontab.environment, **home},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "no calendar expression" in crontab.climrecon(
        "schedule", "install", "--kind", "systemd", "--yes", *common, "--at", "sometimes", code=2, **home
    )
    foreign = units / "climrecon-watch-other.timer"
    foreign.write_text("[Timer]\n")
    crontab.climrecon("schedule", "install", "--kind", "systemd", "--yes", "--name", "other", *common, code=2, **home)
    crontab.climrecon("schedule", "remove", "--kind", "systemd", "--yes", **home)
    assert [path.name for path in units.iterdir()] == [foreign.name]


@pytest.mark.parametrize("kind", ["cron", "scrontab", "systemd"])
def test_the_line_can_be_printed_without_a_table(kind: str, tmp_path: Path) -> None:
    """As ``install`` would write it, where neither crontab, scrontab nor systemd can be called."""
    answer = subprocess.run(
        [
            sys.executable, "-m", "climrecon", "schedule", "print", "--kind", kind, "--catalogue", "c.json", "--output",
            str(tmp_path / "out"), "--on-event", "mail -s 'new release' ops@example.org",
        ], env={**os.environ, "PATH": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}, capture_output=True, text=True,
        cwd=ROOT, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert not list(tmp_path.iterdir())
    begin, _ = markers("climrecon")
    assert begin in answer.stdout
    if kind == "systemd":
        assert "\"--on-event=mail -s 'new release' ops@example.org\"" in answer.stdout
        assert "OnCalendar=*-*-* *:17:00" in answer.stdout
    else:
        (line,) = [line for line in answer.stdout.splitlines() if line.startswith("17 * * * * ")]
        words = shlex.split(cron_word(line))
        assert "--on-event=mail -s 'new release' ops@example.org" in words
        assert f"--catalogue={ROOT / 'c.json'}" in words


@pytest.mark.parametrize("kind", ["cron", "scrontab", "systemd"])
def test_secrets_stand_in_no_table_and_in_no_output(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and catalogues may hold a password: the call stands in a file of its owner alone."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("crontab", "scrontab"):
        (programs / name).write_text(
            f"#!/bin/sh\ntable={tmp_path}/table\n"
            'case "$1" in -l) cat $table 2>/dev/null || { echo "no crontab for x" >&2; exit 1; };; *) cat > $table;; esac\n'
        )
        (programs / name).chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{programs}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HTTPS_PROXY": "http://alice:S3cretPw@proxy.example:3128",
    }  # fmt: skip
    answer = subprocess.run(
        [
            sys.executable, "-m", "climrecon", "schedule", "install", "--kind", kind, "--yes",
            "--catalogue", "https://host/cat.json?token=S3cretPw", "--output", str(tmp_path / "out"),
        ], env=environment, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "S3cretPw" not in answer.stdout + answer.stderr
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and "S3cretPw" in path.read_text()]
    assert holding, "the scheduled call needs the password"
    for path in holding:
        assert path.name != "table"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_script_of_others_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("n", None, ("/py",), {"A": "x" * 1000}, tmp_path / "watch.log")
    monkeypatch.setattr(tables, "_table", lambda kind: ("crontab", ""))
    script_of(job).write_text("mine")
    with pytest.raises(UsageError, match="no script of climrecon"):
        tables.installing("cron", job, "")
    assert script_of(job).read_text() == "mine"


def test_every_path_of_a_call_is_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron starts in the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    monkeypatch.setenv("CLIMRECON_CONFIG", "site.toml")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "card.json").write_text("{}")
    raw = {
        "obs_file": "a.nc", "network": "mine", "cachedir": "cache", "outputdir": "out", "catalogue": "c.json",
        "auxiliary_files": "psl=p.nc,tos=t.nc", "compare_with": "./mine,kriging",
    }  # fmt: skip
    job = job_of(raw, {}, "n", None, None, tmp_path / "out")
    options = dict(word[2:].split("=", 1) for word in job.command if "=" in word)
    assert options == {
        "obs-file": f"{tmp_path}/a.nc", "network": f"{tmp_path}/mine", "cachedir": f"{tmp_path}/cache",
        "output": f"{tmp_path}/out", "catalogue": f"{tmp_path}/c.json",
        "auxiliary-files": f"psl={tmp_path}/p.nc,tos={tmp_path}/t.nc", "compare-with": f"{tmp_path}/mine,kriging",
    }  # fmt: skip
    assert job.environment["XDG_DATA_HOME"] == f"{tmp_path}/data"
    assert job.environment["CLIMRECON_CONFIG"] == f"{tmp_path}/site.toml"

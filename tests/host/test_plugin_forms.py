"""The ways into the real Freva: sections and the variable, the web's calls, the history's command, refusals, facets."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.user import wait_until
from host.test_freva import FAST, ROOT, Host
from preprocess import observation_files as files

pytestmark = pytest.mark.host
PLUGINS = {
    "ClimRecon": "plugin", "ClimReconTrain": "plugin_train", "ClimReconEvaluate": "plugin_evaluate",
    "ClimReconCompare": "plugin_compare",
    "ClimReconExplain": "plugin_explain", "ClimReconBenchmark": "plugin_benchmark",
}  # fmt: skip
#: Batch jobs wait for the cores.
PATIENCE = 300


@pytest.fixture(scope="module")
def host(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host whose site prefers another network than we do."""
    made = Host(tmp_path_factory.mktemp("forms"), demo, None)
    site = Path(made.environment["CLIMRECON_CONFIG"])
    site.write_text(site.read_text() + 'network = "kadow2020"\n')
    return made


def with_sections(host: Host, path: Path, sections: str) -> dict[str, str]:
    """The environment of ``host`` with other ``sections`` for plugins."""
    config = Path(host.environment["EVALUATION_SYSTEM_CONFIG_FILE"])
    path.write_text(config.read_text().partition("[plugin:")[0] + sections)
    return {**host.environment, "EVALUATION_SYSTEM_CONFIG_FILE": str(path)}


def listed(host: Host, environment: dict[str, str]) -> str:
    before, host.environment = host.environment, {**environment, "COLUMNS": "300"}
    try:
        return host.freva("plugin", "-l").stdout
    finally:
        host.environment = before


def row(host: Host, number: str) -> dict[str, str]:
    """Status and log of a run."""
    code = (
        "import freva, json\n"
        f"(row,) = freva.history(entry_ids={number}, return_results=True)\n"
        "print('ROW', json.dumps({'status': row['status_dict'][row['status']], 'log': row['slurm_output'], "
        "'given': row['configuration']}))"
    )
    answer = host.python(code).stdout
    found = re.search(r"^ROW (.*)$", answer, re.MULTILINE)
    assert found, answer
    return json.loads(found[1])


def runs(host: Host) -> int:
    """Number of runs in the history."""
    return host.freva("history", "--limit", "1000").stdout.count(") climrecon")


def ended(host: Host, output: str) -> dict[str, str]:
    """The run that a call in batch mode scheduled, after its end."""
    found = re.search(r"history id(?: FAILED)?: (\d+)", output)
    assert found, output
    return wait_until(
        lambda: (one := row(host, found[1]))["status"] not in ("scheduled", "running", "not_scheduled") and one,
        "the batch run to end", PATIENCE,
    )  # fmt: skip


def test_sections_of_any_name_load(host: Host, tmp_path: Path) -> None:
    sections = "".join(
        f"[plugin:any name {n}]\npython_path = {ROOT}\nmodule = {m}\n" for n, m in enumerate(PLUGINS.values())
    )
    answer = listed(host, with_sections(host, tmp_path / "conf", sections))
    assert all(re.search(rf"\b{name}\b", answer) for name in PLUGINS), answer


def test_the_variable_loads_and_wins_over_a_section(host: Host, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for module in PLUGINS.values():
        text = (ROOT / f"{module}.py").read_text()
        (other / f"{module}.py").write_text(
            text.replace('__short_description__ = "', '__short_description__ = "Other: ')
        )
    shutil.copytree(ROOT / "climrecon", other / "climrecon", ignore=shutil.ignore_patterns("__pycache__"))
    variable = {"EVALUATION_SYSTEM_PLUGINS": f"{other},plugin"}
    answer = listed(host, {**with_sections(host, tmp_path / "conf", ""), **variable})
    assert "Other: Fill the gaps" in answer, answer
    both = listed(host, {**host.environment, **variable})
    assert "Other: Fill the gaps" in both, both
    assert "Error loading" not in both


def test_a_wish_counts_more_than_the_site_on_every_path(host: Host) -> None:
    wish = ("network=punet6", "period=1877", "dryrun=true")
    answer = host.freva("plugin", "climrecon", *wish)
    assert "network: punet6" in answer.stdout, answer.stdout
    assert "network: kadow2020" in host.freva("plugin", "climrecon", *wish[1:]).stdout
    batch = ended(host, host.freva("plugin", "climrecon", "--batchmode", *wish).stdout)
    assert "network: punet6" in Path(batch["log"]).read_text()
    answer = host.python("import freva; freva.run_plugin('climrecon', network='punet6', period='1877', dryrun=True)")
    assert "network: punet6" in answer.stdout, answer.stdout
    command = host.freva("history", "--limit", "1", "--return-command").stdout.splitlines()[-1]
    name, *arguments = shlex.split(command)
    assert name == "freva-plugin"
    again = host.freva("plugin", *arguments)
    assert "network: punet6" in again.stdout, again.stdout


def test_the_command_of_the_history_runs_again_unchanged(host: Host, demo: Path) -> None:
    (source,) = demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc")
    call = (f"obs_file={source}", "network=idw", "keep_observed=false", "seed=3", *FAST)
    first = host.freva("plugin", "climrecon", *call)
    assert first.returncode == 0, first.stdout
    folder = host.newest()
    command = host.freva("history", "--limit", "1", "--return-command").stdout.splitlines()[-1]
    second = host.freva("plugin", *shlex.split(command)[1:])
    assert second.returncode == 0, second.stdout
    assert host.newest() != folder
    one, two = (json.loads((path / "provenance.json").read_text()) for path in (folder, host.newest()))
    assert fingerprint(one) == fingerprint(two)


def fingerprint(provenance: object) -> set[str]:
    return set(re.findall(r'fingerprint": "([0-9a-f]+)', json.dumps(provenance)))


def log_of_form(host: Host, plugin: str, fields: dict[str, str]) -> str:
    """The log of the run that the web starts from a form, in batch mode; it must have finished."""
    answer = host.python(
        "import json\nfrom evaluation_system.api import plugin_manager as pm\n"
        f"command = pm.get_plugin_instance({plugin!r}).compose_command({fields!r}, batchmode=True)\n"
        "print('COMMAND', json.dumps(command))"
    ).stdout
    found = re.search(r"^COMMAND (.*)$", answer, re.MULTILINE)
    assert found, answer
    # The web gives each parameter as one word, and the host's own options as they are.
    words = [part for word in json.loads(found[1]) for part in (word.split() if word.startswith("--") else [word])]
    run = ended(host, host.freva("plugin", *words).stdout)
    log = Path(run["log"]).read_text()
    assert run["status"].startswith("finished"), log
    return log


@pytest.mark.parametrize(
    ("plugin", "fields", "expected"),
    [
        ("climrecon", {"obs_file": "OBS", "period": "1877", "options": "dryrun=true, keep_observed=false"}, "Would reconstruct"),
        ("climrecontrain", {"training_data": "cmip5", "network_name": "web", "options": "dryrun=true"}, "Would train"),
        ("climreconevaluate", {"truth_file": "TRUTH", "compare_with": ["idw", "oi"], "period": "1961-1962",
                               "options": "dryrun=true"}, "idw, oi"),
        ("climreconcompare", {"products": "reanalysis=TRUTH,again=TRUTH", "options": "dryrun=true"}, "Would compare"),
        ("climreconbenchmark", {"methods": ["idw", "oi"], "gaps": "early=1871-1880", "options": "dryrun=true, plots=false"},
         "method: idw"),
        ("climreconexplain", {"obs_file": "OBS", "month": "1877-09", "region": "-5,5,-170,-120", "compare_with": ["idw", "oi"],
                              "options": "dryrun=true"}, "Would explain"),
        ("climreconevaluate", {"obs_file": "OBS", "withhold": "blocks", "compare_with": ["idw"], "period": "1961",
                               "options": "dryrun=true, folds=3"}, "blocks of 20 degrees of single months, 3 folds"),
    ],
)  # fmt: skip
def test_what_the_web_sends(host: Host, demo: Path, plugin: str, fields: dict[str, str], expected: str) -> None:
    """The command that the web composes of a form: blanks are left out, defaults filled in, in batch mode."""
    files = {
        "OBS": demo.rglob("HadCRUT.5.0.2.0.anomalies.ensemble_mean.nc"),
        "TRUTH": (demo / "reanalysis/20CR").glob("*.nc"),
    }
    paths = {word: str(next(found)) for word, found in files.items()}
    for word, path in paths.items():
        fields = {n: v.replace(word, path) if isinstance(v, str) else v for n, v in fields.items()}
    assert expected in log_of_form(host, plugin, fields)


def test_another_variable_on_a_region_from_the_form(host: Host, tmp_path: Path) -> None:
    """The site prefers a network of temperatures, and that of precipitation is of another region: a note says what is taken."""
    lat, lon = np.arange(40.5, 48.0), np.arange(5.5, 17.0)
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 30.0, (360, len(lat), len(lon)))
    values[:, rng.random(values.shape[1:]) < 0.4] = np.nan
    path = files.write(tmp_path / "rain.nc", values, files.month_numbers(1961, 360), name="pr", lat=lat, lon=lon,
                       fill=-1e30, attributes={"units": "mm month-1"})  # fmt: skip
    fields = {
        "variable": "pr",
        "obs_file": str(path),
        "period": "1990-",
        "options": "obs_members=0 plots=false report=true",
    }
    log = log_of_form(host, "climrecon", fields)
    assert "punet-pr works on 26 x 59" in log
    assert "network=kriging is taken" in log
    report = (host.newest() / "report.html").read_text()
    assert "(precipitation)" in report
    assert "over the region" in report


def test_the_host_finds_equal_runs(host: Host) -> None:
    """The web asks for them with all fields of a run, the empty ones as the text None."""
    code = (
        "from evaluation_system.api import plugin_manager as pm\n"
        "fields = {'realisations': None, 'animation': None, 'compare_with': None, 'network': 'oi', 'options': 'seed=3'}\n"
        "print('FOUND', [one.value for one in pm.dict2conf('climrecon', fields)])"
    )
    host.freva("plugin", "climrecon", "period=1877", "dryrun=true")  # makes the parameters known to the data base
    answer = host.python(code).stdout
    assert """FOUND ['null', 'null', 'null', '"oi"', '"seed=3"']""" in answer, answer


def test_a_refusal_in_batch_mode_leaves_a_broken_run_with_the_message(host: Host) -> None:
    before = runs(host)
    answer = host.freva("plugin", "climrecon", "--batchmode", "realisations=2000", "varable=tas", "seed=many")
    assert answer.returncode == 2, answer.stdout
    assert runs(host) == before + 1
    run = ended(host, answer.stdout)
    assert run["status"] == "broken"
    log = Path(run["log"]).read_text()
    for words in (
        "realisations: '2000' is not allowed; expected integer, 0 to 1000",
        "did you mean variable?",
        "seed: 'many'",
    ):
        assert words in log
    absent = ended(host, host.freva("plugin", "climrecon", "--batchmode", "obs_file=/absent.nc").stdout)
    assert absent["status"] == "broken"
    assert "There is no file /absent.nc" in Path(absent["log"]).read_text()


def test_an_absent_file_is_found_before_a_run(host: Host) -> None:
    before = runs(host)
    answer = host.freva("plugin", "climrecon", "obs_file=/absent.nc")
    assert answer.returncode == 2, answer.stdout
    assert "There is no file /absent.nc" in answer.stdout
    assert runs(host) == before


def test_the_data_browser_keeps_every_facet(host: Host) -> None:
    answer = host.freva("plugin", "climrecon", "network=idw", "add_to_databrowser=true", *FAST)
    assert answer.returncode == 0, answer.stdout
    (path,) = host.state.rglob("user-*/**/tas_mon_*.nc")
    # variable, table, model, experiment, ensemble and months, as the host's drs_config names files.
    assert path.name == "tas_mon_hadcrut-5-0-2-0_idw_mean_187701161200-187712161200.nc"
    assert "climrecon.reconstruction" in path.parts
    (ours,) = host.newest().glob("databrowser/tas_mon_*.nc")
    assert path.samefile(ours), "the host's copy is a link, which takes no space"


def test_a_folder_without_git_leads_to_no_error_lines(host: Host, tmp_path: Path) -> None:
    for name in ("plugin.py", "plugin_env"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "climrecon", tmp_path / "climrecon", ignore=shutil.ignore_patterns("__pycache__"))
    section = f"[plugin:climrecon]\npython_path = {tmp_path}\nmodule = plugin\n"
    before = host.environment
    host.environment = with_sections(host, tmp_path / "conf", section)
    try:
        answer = host.freva("plugin", "climrecon", "period=1877", "dryrun=true")
    finally:
        host.environment = before
    assert "Would reconstruct" in answer.stdout, answer.stdout
    assert "ERROR" not in answer.stdout

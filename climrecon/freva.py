"""What the Freva plugins share: parameters, one JSON file, the call, the outputs. No science.

This module runs in the host's Python, which has none of the plugin's libraries; everything else happens in
``plugin_env``. ``plugin.py`` and the files ``plugin_TASK.py`` hold one plugin each, since the host takes one class of a
module; the host executes them anew for each step, so what has to be remembered stays here.
"""

import filecmp
import json
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional, Set

from evaluation_system.api import parameters as host
from evaluation_system.api import plugin
from evaluation_system.misc import logger
from evaluation_system.model import repository
from evaluation_system.model.history.models import History
from evaluation_system.model.user import User

from climrecon import form
from climrecon import parameters as p
from climrecon.freva_child import FOLDER, called, environment_of_child, let_forks_die, run
from climrecon.version import __version__

VERSION = tuple(int(part) for part in __version__.split("."))
DEVELOPER = {"name": "The climrecon developers", "email": "climrecon@example.org"}
#: What the host can show; other files it lists would break its previews.
SHOWN = (".png", ".gif", ".mp4", ".html", ".nc", ".json")


class _Remembered:
    """What one process of the host knows from earlier steps."""

    answers: Dict[str, Any] = {}  # of ``climrecon check``, by what it was asked
    noted: Set[str] = set()  # old names of parameters whose note was written
    refusal = ""  # why the run that is to be submitted cannot be


def _host_parameter(parameter):
    """The host's form of one entry of the table of parameters."""
    common = {"name": parameter.name, "default": parameter.host_default, "mandatory": False, "help": parameter.help}
    if parameter.kind == p.FACET:
        # What the data browser holds of observations is offered, not all models.
        narrowed = {"project": [str(p.BY_NAME["project"].default)]} if parameter.name == "model" else None
        return host.SolrField(facet=parameter.name, max_items=1, predefined_facets=narrowed, **common)
    if parameter.kind == p.CHOICE:
        # The host hands over the key and accepts the value, so both must be equal.
        return host.SelectField(options={choice: choice for choice in parameter.choices}, **common)
    if parameter.name in ("network", "compare_with", "methods"):
        offered = {name: name for name in form.offered()}
        several = parameter.kind == p.NAMES_OR_PATHS
        return host.SelectField(options=offered, allow_user_input=True, multiple=several, **common)
    kinds = {p.BOOL: host.Bool, p.INT: host.Integer, p.FLOAT: host.Float, p.FILE: host.File, p.OUTPUT: host.Directory}
    if parameter.kind in kinds:
        return kinds[parameter.kind](**common)
    # A list separator that no value holds: the host would cut values at commas otherwise.
    return host.String(item_separator="\n", **common)


def _stop(code, text):
    """End a command-line call with an exit code; the host itself ends every failure with 0."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()
    raise SystemExit(code)


def _is_batch():
    """Whether this is ``freva plugin ... --batchmode``, as the web calls it too; the option may be shortened."""
    return any(len(word) > 3 and "--batchmode".startswith(word) for word in sys.argv[1:])


class Parameters(host.ParameterDictionary):
    """The form of one task. On the command line it refuses bad parameters before a run begins, all at once.

    The host refuses some by itself, one by one and with exit code 0. It also crashes at a ``$`` in a value, and drops
    all scheduler options of a run submitted without any parameter; adding them here cures that. A run that is to be
    submitted gets its row in the history before it is refused: the web shows the newest row.
    """

    def __init__(self, task):
        self.task = task
        options = host.String(name=form.OPTIONS, item_separator="\n", help=form.options_help(task))
        super().__init__(*[_host_parameter(parameter) for parameter in form.fields(task)], options)

    def parse_arguments(self, opt_arr, use_defaults=False, complete_defaults=False, check_errors=True):
        """Parse ``key=value`` texts; on the command line exit with code 2 if there are problems."""
        _spare_errors_of_git()
        texts = [opt_arr] if not isinstance(opt_arr, (list, tuple, set)) else list(opt_arr)
        given = dict(_pair(text) for text in texts)
        # So the host writes an empty field when it looks for equal runs; numbers cannot be read from it.
        empty = [name for name, value in given.items() if value == "None" and name in self and self[name] is None]
        given = {name: value for name, value in given.items() if name not in empty}
        if logger.is_cli:
            given = self._checked(given)
        parsed = super().parse_arguments(
            ["{}={}".format(*pair) for pair in form.to_form(self.task, given).items()],
            use_defaults=use_defaults, complete_defaults=complete_defaults, check_errors=check_errors,
        )  # fmt: skip
        return {**parsed, **dict.fromkeys(empty)}

    def _checked(self, given):
        """``given`` with the scheduler's options; bad parameters are refused."""
        problems = ["{}: holds a $, which the host cannot take".format(k) for k, v in given.items() if _dollar(v)]
        answer = {}
        try:
            answer = _answer(self.task, {k: v for k, v in given.items() if not _dollar(v)})
        except ValueError as error:
            problems.append(str(error))
        problems += answer.get("problems", [])
        if problems:
            lines = ["These parameters cannot be used:"] + ["  - " + problem for problem in problems]
            text = "\n".join(lines + ["  -> " + answer["hint"]] if answer.get("hint") else lines)
            if not _is_batch():
                _stop(2, text)
            _Remembered.refusal = text
            given = {k: v for k, v in given.items() if not _dollar(v) and (k in p.BY_NAME or k in self)}
            given = {k: v for k, v in given.items() if k not in self or self._takes(k, v)}
        hosts = str(self._params[form.SCHEDULER].default or "")
        if given.get(form.SCHEDULER, hosts) == hosts:
            # Of options given twice the last one counts: the site's, where the site file has some.
            options = ",".join(filter(None, (hosts, answer.get(form.SCHEDULER))))
            given = {**given, form.SCHEDULER: options} if options else given
        return given

    def _takes(self, name, value):
        """Whether the host can store ``value``."""
        try:
            self._params[name].parse(value)
        except Exception:
            return False
        return True


def _spare_errors_of_git():
    """Tell the host that there is no version to read where the plugin's folder is no clone of a remote.

    It would log two errors at each run, and record the same.
    """
    from evaluation_system.api import plugin_manager  # loads the plugins, so not before they are loaded

    git = Path(FOLDER, ".git")
    found = vars(repository).get("__version_cache")
    if found is None or git.is_file() or 'remote "origin"' in _text_of(git / "config"):
        return
    for one in plugin_manager.get_plugins().values():
        if os.path.realpath(os.path.dirname(one.plugin_module)) == FOLDER:
            found.setdefault(one.plugin_module, ("unknown", "unknown"))


def _text_of(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _answer(task, given):
    """The answer of ``climrecon check`` to the given parameters; the host parses them several times."""
    values = {"task": task, **form.from_form({k: v for k, v in given.items() if k != "debug"})}
    text = json.dumps(values, sort_keys=True)
    if text not in _Remembered.answers:
        try:
            answer = called("check", "-", input=text)
        except RuntimeError as error:
            _stop(7, str(error))
        try:
            _Remembered.answers[text] = json.loads(answer.stdout)
        except ValueError:
            _stop(7, "climrecon's environment does not work:\n" + answer.stderr)
    return _Remembered.answers[text]


def _pair(text):
    """Name, under today's name, and value of a ``key=value`` text: the host refuses names that it does not know."""
    key, _, value = (part.strip() for part in str(text).partition("="))
    if key in p.OLD_NAMES and key not in _Remembered.noted:
        _Remembered.noted.add(key)
        sys.stderr.write("Note: {}.\n".format(p.note_on(key)))
    return p.OLD_NAMES.get(key, key), value or "true"


def _dollar(value):
    # The host's own variables ($USER_OUTPUT_DIR ...) are the only $ it understands.
    return "$" in value and not value.startswith(("$USER_", "$SYSTEM_"))


def _plain(value):
    return ",".join(value) if isinstance(value, list) else value


def init(self, *args, user=None, **kwargs):
    """The constructor of each plugin. The host would log its user in again for each plugin that it lists."""
    plugin.PluginAbstract.__init__(self, *args, user=user or _user(os.getuid()), **kwargs)


@lru_cache(maxsize=1)
def _user(uid):
    """The user of this process."""
    return User()


def run_tool(self, config_dict=None):
    """The method of each plugin: write one JSON file, call climrecon in its own environment, hand over its outputs."""
    let_forks_die()
    # The history may hold a run of the version before, submitted or to be repeated.
    known = {p.OLD_NAMES.get(name, name): _plain(value) for name, value in (config_dict or {}).items()}
    try:
        values = form.from_form({name: v for name, v in known.items() if name in p.BY_NAME or name == form.OPTIONS})
    except ValueError as error:
        return _failed(2, str(error))
    values = {"task": self.__parameters__.task, **values}
    about = {"id": str(self.rowid), "user": self.user.getName(), "host": "freva"}
    # The cache of the host where neither the user nor the site names one.
    cache = self.user.getUserCacheDir(tool=type(self).__name__.lower(), create=False)
    try:
        code, last = run({"parameters": values, "run": about}, environment_of_child(CLIMRECON_CACHE=cache))
    except RuntimeError as error:
        return _failed(7, str(error))
    if code:
        return _failed(code, last, shown=True)
    if str(values.get("dryrun", "")).lower() == "true":
        return {}
    folder = str(values["outputdir"])
    if str(values.get("detach", "")).lower() == "true" and not os.path.exists(os.path.join(folder, "manifest.json")):
        # Submitted, not finished: there is nothing to show yet.
        return None
    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    _to_databrowser(self, folder, manifest)
    outputs = {}
    for entry in manifest["outputs"]:
        path = os.path.join(folder, entry["path"])
        if path.endswith(SHOWN):
            # One dictionary for each file: the host writes into it, and a list shares one among all.
            outputs[path] = {"caption": entry["caption"]}
    return self.prepare_output(outputs)


def _failed(code, text, shown=False):
    """End so that the history says broken and the shell sees the child's exit code; ``text`` may stand there already."""
    if logger.is_cli:
        _stop(code if code > 0 else 1, "" if shown else text)
    raise RuntimeError("climrecon ended with exit code {}:\n{}".format(code, text))


def _to_databrowser(self, folder, manifest):
    """Offer each variable, in a file of its own, to the data browser."""
    for entry in manifest["outputs"]:
        if entry["role"] != "databrowser":
            continue
        path = os.path.join(folder, entry["path"])
        facets = {name: manifest["facets"][name] for name in ("model", "institute", "experiment", "ensemble")}
        facets["variable"] = os.path.basename(path).split("_mon_")[0]
        # The host cuts the names of its files at the last dot, and joins facets by underscores.
        facets = {name: value.replace(".", "-").replace("_", "-") for name, value in facets.items()}
        arguments = {"project": "climrecon", "product": "reconstruction", "time_frequency": "mon", **facets}
        try:
            place = self.add_output_to_databrowser(path, index_data=True, **arguments)
        except Exception as error:
            # Without a Solr server indexing fails; the files are put in place all the same.
            print("climrecon: the data browser did not index the result: {}".format(error), flush=True)
            place = self.add_output_to_databrowser(path, index_data=False, **arguments)
        _link_copies(path, Path(place), self.rowid)


def _link_copies(path, place, rowid):
    """Make the host's copy of ``path`` a link to it, which takes no space; on another file system it stays a copy."""
    for copy in place.glob("**/v{}/**/*.nc".format(rowid)):
        if os.path.samefile(path, copy) or not filecmp.cmp(path, str(copy), shallow=False):
            continue
        link = copy.with_suffix(".link")
        try:
            os.link(path, str(link))
            os.replace(str(link), str(copy))
        except OSError:
            continue


def submit_job_script(self, *args, log_directory: Optional[str] = None, **kwargs):
    """The method of each plugin that submits a run; a run that is refused breaks with its reason in its log."""
    if _Remembered.refusal:
        _broken(self, log_directory, 2, _Remembered.refusal)
    status = plugin.PluginAbstract.submit_job_script(self, *args, log_directory=log_directory, **kwargs)
    if status.workload_manager == "slurm" and not status.submit_status:
        answer = called("jobs", "startable", status.job_id)
        if answer.returncode:
            _broken(self, log_directory, answer.returncode, answer.stderr)
    return status


def _broken(self, log_directory, code, text):
    """End a submission whose row stands in the history already."""
    log = os.path.join(log_directory or tempfile.mkdtemp(), "{}-{}.out".format(type(self).__name__, self.rowid))
    with open(log, "w") as file:
        file.write(text.rstrip() + "\n")
    self.user.getUserDB().scheduleEntry(self.rowid, self.user.getName(), log, History.processStatus.broken)
    print("Scheduled job with history id FAILED: {}".format(self.rowid), flush=True)
    if logger.is_cli:
        _stop(code, text)
    raise RuntimeError(text)

"""The Freva plugin: parameters, one JSON file, the call, the outputs. No science.

This file runs in the host's Python, which has none of the plugin's libraries, and is executed as a
bare module (there is no ``__file__``). Everything else happens in ``plugin_env``.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import List, Set

from evaluation_system.api import parameters as host
from evaluation_system.api import plugin
from evaluation_system.misc import logger

import climrecon
from climrecon import parameters as p

#: Seconds a stopped run has to clean up before it is killed.
GRACE = 20.0
#: What the host can show; other files it lists would break its previews.
SHOWN = (".png", ".gif", ".mp4", ".html", ".nc", ".json")


def _host_parameter(parameter):
    """The host's form of one entry of the table of parameters."""
    default = parameter.host_default if parameter.host_default is not None else parameter.default
    common = {"name": parameter.name, "default": default, "mandatory": False}
    common["help"] = p.help_with_task(parameter)
    if parameter.kind == p.FACET:
        return host.SolrField(facet=parameter.name, max_items=1, **common)
    if parameter.kind == p.CHOICE:
        # The host hands over the key and accepts the value, so both must be equal.
        return host.SelectField(options={choice: choice for choice in parameter.choices}, **common)
    kinds = {p.BOOL: host.Bool, p.INT: host.Integer, p.FLOAT: host.Float, p.FILE: host.File, p.OUTPUT: host.Directory}
    if parameter.kind in kinds:
        return kinds[parameter.kind](**common)
    # A list separator that no value holds: the host would cut values at commas otherwise.
    return host.String(item_separator="\n", **common)


def _python(folder):
    """Python of the plugin's own environment."""
    path = os.path.join(folder, "plugin_env", "bin", "python")
    if not os.path.exists(path):
        raise RuntimeError(
            "climrecon's environment is missing: there is no {}. Run 'make plugin_env' in {}.".format(path, folder)
        )
    return path


def _environment(folder):
    """Environment of the child: its own Python first, nothing of the host's Python."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment["PATH"] = os.path.join(folder, "plugin_env", "bin") + os.pathsep + environment.get("PATH", "")
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _stop(code, text):
    """End a command-line call with an exit code; the host itself ends every failure with 0."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()
    raise SystemExit(code)


class Parameters(host.ParameterDictionary):
    """Refuses bad parameters before a run begins, all at once.

    The host refuses some by itself, one by one and with exit code 0. It also crashes at a ``$`` in a
    value, and drops all scheduler options of a run submitted without any parameter; adding the
    site's default here cures that.
    """

    folder = ""
    asked = None
    noted: Set[str] = set()  # old names whose note was written, by any instance

    def parse_arguments(self, opt_arr, use_defaults=False, complete_defaults=False, check_errors=True):
        """Parse ``key=value`` texts; on the command line exit with code 2 if there are problems."""
        texts = [opt_arr] if not isinstance(opt_arr, (list, tuple, set)) else list(opt_arr)
        texts = [self._with_new_name(str(text)) for text in texts]
        given = dict(_pair(text) for text in texts)
        if logger.is_cli:
            # The host parses the same texts several times, mostly without checking; asked once is enough.
            if self.asked is None or self.asked[0] != given:
                self.asked = (given, self._checked(given))
                climrecon.typed = frozenset(given)
            options = self.asked[1]
            if options and "extra_scheduler_options" not in given:
                texts.append("extra_scheduler_options=" + options)
        return super().parse_arguments(
            texts, use_defaults=use_defaults, complete_defaults=complete_defaults, check_errors=check_errors
        )

    def _with_new_name(self, text):
        """``key=value`` under today's name: the host refuses names that it does not know."""
        key, sign, value = text.partition("=")
        old = key.strip()
        if old not in p.OLD_NAMES:
            return text
        # The host parses the same texts several times; once is enough to hear of it.
        if old not in self.noted:
            self.noted.add(old)
            sys.stderr.write("Note: {}.\n".format(p.note_on(old)))
        return p.OLD_NAMES[old] + sign + value

    def _checked(self, given):
        """Refuse bad parameters; returns the site's default of extra_scheduler_options."""
        answer = self._ask(given)
        dollars = ["{}: holds a $, which the host cannot take".format(k) for k, v in given.items() if _dollar(v)]
        problems = dollars + answer.get("problems", [])
        if problems:
            lines = ["These parameters cannot be used:"] + ["  - " + problem for problem in problems]
            _stop(2, "\n".join(lines + ["  -> " + answer["hint"]] if answer.get("hint") else lines))
        return answer.get("extra_scheduler_options")

    def _ask(self, given):
        """The answer of ``climrecon check`` to the given parameters."""
        try:
            command = [_python(self.folder), "-m", "climrecon", "check", "-"]
        except RuntimeError as error:
            _stop(7, str(error))
        values = {k: v for k, v in given.items() if k != "debug" and not _dollar(v)}
        answer = subprocess.run(
            command,
            input=json.dumps(values),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            env=_environment(self.folder),
        )
        try:
            return json.loads(answer.stdout)
        except ValueError:
            _stop(7, "climrecon's environment does not work:\n" + answer.stderr)


def _let_forks_die():
    """Processes that the host forks from now on end at once when they are told to.

    The host makes previews in a pool of forked processes, which have its own handler of SIGTERM: it says in the
    history that the run broke, and ends by an exception, which may go unheard in a process that has just begun. The
    host then waits for that process forever (3 of 43 pools on a busy machine). So signals wait while a process is
    forked, and the new one treats them as any program does.
    """
    if climrecon.forks_die:
        return
    climrecon.forks_die = True
    before = threading.local()
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT}

    def hold():
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def go_on():
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def in_child():
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        go_on()

    os.register_at_fork(before=hold, after_in_parent=go_on, after_in_child=in_child)


def _with_new_names(values):
    # The history may hold a run of the version before, submitted or to be repeated.
    return {p.OLD_NAMES.get(name, name): value for name, value in values.items()}


def _pair(text):
    key, _, value = str(text).partition("=")
    return key.strip(), value.strip() or "true"


def _dollar(value):
    # The host's own variables ($USER_OUTPUT_DIR ...) are the only $ it understands.
    return "$" in value and not value.startswith(("$USER_", "$SYSTEM_"))


class ClimRecon(plugin.PluginAbstract):
    """Reconstruct gappy climate observations with neural networks."""

    __short_description__ = "Fill the gaps of historical climate observations with neural networks."
    __long_description__ = (
        "Finds observations (by default HadCRUT) in the catalogue, reconstructs what is missing with a neural "
        "network trained on complete fields, and estimates the uncertainty: a CF netCDF file with standard deviation and "
        "realisations, maps, global-mean and Nino 3.4 series, a report, and W3C provenance."
    )
    __version__ = tuple(int(part) for part in climrecon.__version__.split("."))
    __category__ = "statistical"
    __tags__ = ["reconstruction", "infilling", "HadCRUT", "machine learning", "observations"]
    tool_developer = {"name": "The climrecon developers", "email": "climrecon@example.org"}
    __parameters__ = Parameters(*[_host_parameter(parameter) for parameter in p.PARAMETERS])

    def __init__(self, *args, **kwargs):
        """Tell the parameters where the plugin lives."""
        super().__init__(*args, **kwargs)
        self.__parameters__.folder = self.class_basedir

    def run_tool(self, config_dict=None):
        """Write one JSON file, call climrecon in its own environment, hand over what it wrote."""
        _let_forks_die()
        # The host hands over its defaults as if they were given; the site file's are to hold then.
        # On the command line it is known what was typed: network=punet5 is the default, but then also a wish.
        values = {
            k: v
            for k, v in _with_new_names(config_dict or {}).items()
            if k in p.BY_NAME and v is not None and (v != p.BY_NAME[k].default or k in climrecon.typed)
        }
        about = {"id": str(self.rowid), "user": self.user.getName(), "host": "freva"}
        try:
            code, last = self._run({"parameters": values, "run": about})
        except RuntimeError as error:
            return self._failed(7, str(error))
        if code:
            return self._failed(code, last)
        if str(values.get("dryrun", "")).lower() == "true":
            return {}
        folder = str(values["outputdir"])
        if str(values.get("detach", "")).lower() == "true" and not os.path.exists(
            os.path.join(folder, "manifest.json")
        ):
            # Submitted, not finished: there is nothing to show yet.
            return None
        with open(os.path.join(folder, "manifest.json")) as file:
            manifest = json.load(file)
        if str(values.get("add_to_databrowser", "")).lower() == "true":
            self._to_databrowser(folder, manifest)
        outputs = {}
        for entry in manifest["outputs"]:
            path = os.path.join(folder, entry["path"])
            if path.endswith(SHOWN):
                # One dictionary for each file: the host writes into it, and a list shares one among all.
                outputs[path] = {"caption": entry["caption"]}
        return self.prepare_output(outputs)

    def _run(self, config):
        """Call the child, show its lines as they come; returns its exit code and its last lines.

        Not through ``self.call``: that waits for the child when the host is stopped, so the child
        would run to its end. Here whatever stops the host stops the child, which then cleans up.
        """
        handle, name = tempfile.mkstemp(prefix="climrecon-", suffix=".json")
        child = None
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(config, file)
            child = subprocess.Popen(
                [_python(self.class_basedir), "-m", "climrecon", "run", name],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
                env=_environment(self.class_basedir),
            )
            with _PassingOn(child):
                last: List[str] = []
                assert child.stdout is not None
                for line in child.stdout:
                    print(line, end="", flush=True)
                    last = (last + [line])[-8:]
                return child.wait(), "".join(last)
        finally:
            if child is not None and child.poll() is None:
                child.terminate()
                try:
                    child.wait(GRACE)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            os.unlink(name)

    def _failed(self, code, text):
        """End so that the history says broken and the shell sees the child's exit code."""
        if logger.is_cli:
            _stop(code if code > 0 else 1, "" if code != 7 else text)
        raise RuntimeError("climrecon ended with exit code {}:\n{}".format(code, text))

    def _to_databrowser(self, folder, manifest):
        """Offer each variable, in a file of its own, to the data browser."""
        facets = manifest["facets"]
        for entry in manifest["outputs"]:
            if entry["role"] != "databrowser":
                continue
            name = os.path.basename(entry["path"]).split("_mon_")[0].replace("_", "-")
            arguments = {
                "project": "climrecon",
                "product": "reconstruction",
                "model": facets["model"],
                "institute": facets["institute"],
                "experiment": facets["experiment"],
                "ensemble": facets["ensemble"],
                "time_frequency": "mon",
                "variable": name,
            }
            path = os.path.join(folder, entry["path"])
            try:
                self.add_output_to_databrowser(path, index_data=True, **arguments)
            except Exception as error:
                # Without a Solr server indexing fails; the files are put in place all the same.
                print("climrecon: the data browser did not index the result: {}".format(error), flush=True)
                self.add_output_to_databrowser(path, index_data=False, **arguments)


class _PassingOn:
    """While it holds, SIGTERM and SIGINT reach the child before the host's own handlers act."""

    def __init__(self, child):
        self.child, self.before = child, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.before[number] = signal.signal(number, self._pass)
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _pass(self, number, frame):
        self.child.terminate()
        try:
            self.child.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.child.kill()
        handler = self.before.get(number)
        if callable(handler):
            handler(number, frame)
        else:
            raise SystemExit(128 + number)

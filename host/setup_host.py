"""Set up a Freva host in a folder of its own, and run commands in it.

    host_env/bin/python host/setup_host.py STATE -- freva plugin climrecon variable=tas

Runs in the host's virtual environment. STATE holds everything: configuration, database, outputs.
"""

import argparse
import configparser
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PLUGIN = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
#: Section -> module.
PLUGINS = {
    "climrecon": "plugin",
    "climrecontrain": "plugin_train",
    "climreconevaluate": "plugin_evaluate",
    "climreconexplain": "plugin_explain",
    "climreconcompare": "plugin_compare",
    "climreconbenchmark": "plugin_benchmark",
}


#: Where users' own results go, and how their names are made.
_DRS = """
[crawl_my_data]
root_dir = "{data}"
drs_format = "custom"
parts_dir = ["project", "product", "institute", "model", "experiment", "time_frequency", "realm", "cmor_table",
             "ensemble", "version", "variable", "file_name"]
parts_file_name = ["variable", "cmor_table", "model", "experiment", "ensemble", "time"]
parts_time = "start_time-end_time"

[crawl_my_data.defaults]
"""


def install_startup():
    """Put the start-up file into the virtual environment (a .pth file that imports it)."""
    site = Path(sysconfig.get_paths()["purelib"])
    shutil.copy(HERE / "climrecon_host_startup.py", site / "climrecon_host_startup.py")
    (site / "climrecon_host.pth").write_text("import climrecon_host_startup\n")


def write_configuration(state, database=None, scheduler="local", scheduler_options=None, plugin=PLUGIN):
    """Write evaluation_system.conf and what stands beside it; returns the environment of the host.

    ``database`` holds host, port, user, passwd and db of a MariaDB server; None is SQLite.
    """
    state = Path(state).absolute()
    for name in ("output", "scheduler_in", "scheduler_out", "preview", "data", "home"):
        (state / name).mkdir(parents=True, exist_ok=True)
    connection = database or {"host": "localhost", "port": "3306", "user": "freva", "passwd": "freva", "db": "freva"}
    config = configparser.ConfigParser(interpolation=None)
    config["evaluation_system"] = {
        "project_name": "climrecon-demo",
        "admins": "",
        "root_dir": str(state),
        "base_dir_location": str(state / "output"),
        "base_dir": "freva",
        "directory_structure_type": "central",
        "scheduler_system": scheduler,
        "scheduler_input_dir": str(state / "scheduler_in"),
        "scheduler_output_dir": str(state / "scheduler_out"),
        "preview_path": str(state / "preview"),
        "project_data": str(state / "data"),
        "number_of_processes": "2",
        "solr.host": "localhost",
        "solr.port": "8983",
        "solr.core": "files",
        "databrowser.host": "localhost",
        **{f"db.{key}": str(value) for key, value in connection.items()},
    }
    options = {"memory": "4G", "queue": "", "project": "", "walltime": "01:00:00", "cpus": "2", "extra_options": ""}
    config["scheduler_options"] = {**options, **(scheduler_options or {})}
    for name, module in PLUGINS.items():
        config[f"plugin:{name}"] = {"python_path": str(plugin), "module": module}
    with (state / "evaluation_system.conf").open("w") as file:
        config.write(file)
    # Freva installs these two into its environment only where pip builds it anew, not from pip's cache.
    (state / "drs_config.toml").write_text(_DRS.format(data=state / "data"))
    file_name, folder, programs = (
        shlex.quote(str(path)) for path in (state / "evaluation_system.conf", state, Path(sys.prefix) / "bin")
    )
    (state / "activate_sh").write_text(
        f"export EVALUATION_SYSTEM_CONFIG_FILE={file_name}\n"
        f"export EVALUATION_SYSTEM_CONFIG_DIR={folder}\n"
        f"export PATH={programs}:$PATH\n"
    )
    environment = {
        **os.environ,
        "EVALUATION_SYSTEM_CONFIG_FILE": str(state / "evaluation_system.conf"),
        "EVALUATION_SYSTEM_CONFIG_DIR": str(state),
        "PATH": str(Path(sys.prefix) / "bin") + os.pathsep + os.environ.get("PATH", ""),
        # The host writes safe.directory into the user's git configuration at each start; into this one then.
        "GIT_CONFIG_GLOBAL": str(state / "gitconfig"),
    }
    environment.pop("CLIMRECON_HOST_SQLITE", None)
    environment.pop("PYTHONPATH", None)
    if database is None:
        environment["CLIMRECON_HOST_SQLITE"] = str(state / "freva.sqlite")
    return environment


_CREATE = """
import evaluation_system.settings.database
from django.apps import apps
from django.db import connection
import evaluation_system.model.history.models
import evaluation_system.model.plugins.models
import evaluation_system.model.solr_models.models
import django.contrib.auth.models, django.contrib.flatpages.models
import django.contrib.contenttypes.models, django.contrib.sites.models
have = set(connection.introspection.table_names())
with connection.schema_editor() as editor:
    # The host's own models belong to no installed app, so get_models() does not list them.
    for models in list(apps.all_models.values()):
        for model in list(models.values()):
            if model._meta.auto_created or model._meta.db_table in have:
                continue
            editor.create_model(model)
            have.add(model._meta.db_table)
            have.update(f.remote_field.through._meta.db_table for f in model._meta.local_many_to_many)
print(len(connection.introspection.table_names()), "tables")
"""


def create_tables(environment):
    """Create the tables that the database lacks."""
    subprocess.run([sys.executable, "-c", _CREATE], env=environment, check=True, stdout=subprocess.DEVNULL)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path, help="folder of the host")
    parser.add_argument("command", nargs="*", help="what to run in the host's environment, after --")
    options = parser.parse_args()
    install_startup()
    environment = write_configuration(options.state)
    create_tables(environment)
    if options.command:
        raise SystemExit(subprocess.call(options.command, env=environment))


if __name__ == "__main__":
    main()

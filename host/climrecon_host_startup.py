"""Start-up file of the host's virtual environment: the real Freva on one SQLite file, no server.

Freva configures Django for MySQL only if nothing has configured it before. Where the variable
CLIMRECON_HOST_SQLITE names a file, Django is configured for that file first; without it nothing here
happens, so that the same environment also serves a host on MariaDB.
"""

import os


def configure():
    """Configure Django for the SQLite file named by the environment."""
    database = os.environ.get("CLIMRECON_HOST_SQLITE")
    if not database:
        return
    import django
    from django.conf import settings

    if settings.configured:
        return
    settings.configure(
        TIME_ZONE="UTC",
        USE_TZ=False,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=(
            "django.contrib.auth",
            "django.contrib.flatpages",
            "django.contrib.contenttypes",
            "django.contrib.sites",
        ),
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database, "OPTIONS": {"timeout": 30}}},
    )
    django.setup()
    from evaluation_system.misc import config

    config.reloadConfiguration()


configure()

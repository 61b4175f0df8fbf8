"""A watch neither replaces files of others in its folder nor follows links that others planted there."""

from __future__ import annotations

from pathlib import Path

import pytest

from climrecon.errors import OutputError
from climrecon.watch import commands, publish
from climrecon.watch.state import FILE_NAME, State


def test_a_file_called_latest_stays(tmp_path: Path) -> None:
    (tmp_path / publish.LATEST).write_text("mine")
    with pytest.raises(OutputError, match="latest"):
        publish.switch(tmp_path, "a")
    assert (tmp_path / publish.LATEST).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [publish.LATEST]


def test_a_link_that_leads_elsewhere_is_mended(tmp_path: Path) -> None:
    (tmp_path / publish.LATEST).symlink_to(tmp_path)
    publish.switch(tmp_path, "a")
    assert (tmp_path / publish.LATEST).readlink() == Path(publish.FOLDER) / "a"


def test_a_state_behind_a_link_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("")
    (tmp_path / FILE_NAME).symlink_to(precious)
    with pytest.raises(OutputError, match="it is a link"):
        State(tmp_path / FILE_NAME)
    assert precious.read_text() == ""


def test_the_log_of_a_run_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    log = tmp_path / "run.log"
    log.symlink_to(precious)
    assert commands.run_logged(["/bin/echo", "output"], log, lambda pid: None) == 0
    assert (precious.read_text(), log.read_text()) == ("mine", "output\n")

"""What a killed process leaves of its coverage does not end a run in which every test passed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from coverage import Coverage, CoverageData
from coverage.exceptions import CoverageException

from helpers.measured import remove_damaged


def written(path: Path, line: int, modules: tuple[str, ...] = ("module.py",)) -> Path:
    data = CoverageData(str(path))
    data.add_lines({module: [line] for module in modules})
    data.write()
    return path


def with_a_damaged_row(path: Path) -> Path:
    """What is looked at first is whole: sqlite notices when the rows of ``file`` are fetched, and says so by itself."""
    with sqlite3.connect(path) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'file'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size + 4000 : (page - 1) * size + 4008] = bytes(8)
    path.write_bytes(content)
    return path


@pytest.mark.filterwarnings("ignore::coverage.exceptions.CoverageWarning")
def test_damaged_files_are_left_out_and_the_others_combined(tmp_path: Path) -> None:
    whole = written(tmp_path / ".coverage.whole", 1)
    cut = written(tmp_path / ".coverage.cut", 2)
    cut.write_bytes(cut.read_bytes()[:20000])
    row = written(tmp_path / ".coverage.row", 3)
    with sqlite3.connect(row) as database:
        database.execute("UPDATE file SET path = NULL")
    database.close()
    empty = tmp_path / ".coverage.empty"
    empty.touch()

    def combined() -> CoverageData:
        coverage = Coverage(data_file=str(tmp_path / ".coverage"), config_file=False)
        coverage.combine([str(tmp_path)], keep=True)
        return coverage.get_data()

    with pytest.raises((CoverageException, sqlite3.Error)):  # either, by what is damaged and coverage's version
        combined()
    page = with_a_damaged_row(written(tmp_path / ".coverage.page", 4, tuple(f"{n}.py" for n in range(300))))
    row.rename(tmp_path / "row")
    with pytest.raises((CoverageException, sqlite3.Error)):
        combined()
    (tmp_path / "row").rename(row)
    assert set(remove_damaged(tmp_path)) >= {cut, row, page}
    assert whole.is_file()
    assert combined().lines("module.py") == [1]
    assert remove_damaged(tmp_path) == []

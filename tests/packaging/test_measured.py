"""What a killed process leaves of its coverage does not end a run in which every test passed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from coverage import Coverage, CoverageData
from coverage.exceptions import DataError
from measured import remove_damaged


def written(path: Path, line: int) -> Path:
    data = CoverageData(str(path))
    data.add_lines({"module.py": [line]})
    data.write()
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
    page = written(tmp_path / ".coverage.page", 4)
    content = bytearray(page.read_bytes())
    content[4096:] = bytes(255 for _ in content[4096:])  # whole at its beginning, where it is looked at first
    page.write_bytes(content)
    empty = tmp_path / ".coverage.empty"
    empty.touch()

    def combined() -> CoverageData:
        coverage = Coverage(data_file=str(tmp_path / ".coverage"), config_file=False)
        coverage.combine([str(tmp_path)], keep=True)
        return coverage.get_data()

    with pytest.raises(DataError, match="user-defined function"):
        combined()
    assert set(remove_damaged(tmp_path)) >= {cut, row, page}
    assert whole.is_file()
    assert combined().lines("module.py") == [1]
    assert remove_damaged(tmp_path) == []

"""The leaderboard: replaced rows, boards of other versions, doubts, hostile texts, several scorers, sorting."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from climrecon.benchmark_set import export_set, score_submissions
from climrecon.benchmark_set.card import STDDEV, VALUES, SetCard
from climrecon.benchmark_set.files import write_fields
from climrecon.benchmark_set.leaderboard import compared, enter
from climrecon.errors import InputDataError, OutputError, UsageError
from climrecon.grid import FIVE_DEGREES
from climrecon.plots.leaderboard import MOST, draw_leaderboard
from climrecon.scores.masked_truth import MaskedTruth
from climrecon.settings import load_site
from climrecon.tasks.benchmark.runs import run_methods
from helpers.benchmark_sets import SmallSet, fair, truth, zeros

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}"


def worse(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
    """Half of the anomaly of :func:`fair`, with another error added."""
    fields = fair(known, values)
    return {**fields, VALUES: 0.5 * fields[VALUES]}


@pytest.fixture(scope="module")
def rows(small: SmallSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Rows by method; copies of one field under two names, one with a little noise, are among them."""
    folder = tmp_path_factory.mktemp("submissions")

    def noisy(known: MaskedTruth, values: np.ndarray) -> dict[str, np.ndarray]:
        noise = 0.003 * np.random.default_rng(3).standard_normal(known.truth.shape)
        return {VALUES: (fair(known, values)[VALUES] + noise).astype(np.float32)}

    makers = {"kriging": fair, "zeros": zeros, "half": worse, "perfect": truth, "copy": fair, "blurred copy": noisy,
              HOSTILE: worse}  # fmt: skip
    made = [
        small.submit(folder / str(number), make, method=name, authors=HOSTILE)
        for number, (name, make) in enumerate(makers.items())
    ]
    return {row["method"]: row for row in score_submissions(made, small.folder)}


def boards_in(path: Path) -> list[dict]:
    return json.loads(path.read_text())["boards"]


def test_a_row_of_the_same_method_and_version_is_replaced(small: SmallSet, tmp_path: Path) -> None:
    board = tmp_path / "board.html"
    first = small.submit(tmp_path / "1", zeros, method="a", method_version="1")
    other = small.submit(tmp_path / "2", zeros, method="a", method_version="2")
    score_submissions([first, other], small.folder, board=board)
    assert [
        (row["method_version"], row["overall"]["skill"]) for row in boards_in(tmp_path / "board.json")[0]["rows"]
    ] == [("1", 0.0), ("2", 0.0)]
    again = small.submit(tmp_path / "3", fair, method="a", method_version="1")
    score_submissions([again], small.folder, board=board)
    (one,) = boards_in(tmp_path / "board.json")
    found = {row["method_version"]: row["overall"]["skill"] for row in one["rows"]}
    assert len(one["rows"]) == len(found) == 2
    assert found["2"] == 0.0
    assert found["1"] > 0.5
    assert f"{found['1']:.3f}" in board.read_text()


def test_rows_of_other_versions_and_sets_stand_apart(small: SmallSet, rows: dict[str, dict], tmp_path: Path) -> None:
    board = tmp_path / "board.html"
    enter([rows["kriging"], rows["zeros"]], small.card, board)
    later = small.card.model_copy(update={"benchmark_version": "2"})
    enter([rows["half"]], later, board)
    other = export_set(tmp_path / "other", years="1911", gaps=["sparse=1861-1861"], seed=4)
    enter(
        [{**rows["zeros"], "cases": {case.name: rows["zeros"]["cases"]["sparse-clean"] for case in other.cases}}],
        other,
        board,
    )
    enter([rows["half"]], small.card, board)
    found = {one["set"]: [row["method"] for row in one["rows"]] for one in boards_in(tmp_path / "board.json")}
    assert found == {
        small.card.identity: ["kriging", "zeros", "half"],
        later.identity: ["half"],
        other.identity: ["zeros"],
    }
    text = board.read_text()
    assert all(identity in text for identity in found)


def test_a_copied_truth_and_equal_fields_are_marked(rows: dict[str, dict]) -> None:
    doubts = {row["method"]: " ".join(row["doubts"]) for row in compared(list(rows.values()))}
    assert "RMSE of sparse-clean is 0.00 of that of inverse distances" in doubts["perfect"]
    assert "the fields are those of kriging" in doubts["copy"]
    assert doubts["kriging"] == ""  # the first to have them
    assert "the fields are those of kriging" in doubts["blurred copy"]
    assert doubts["zeros"] == ""
    assert doubts[HOSTILE] == "suspicious: the fields are those of half"
    assert doubts["half"] == ""
    # Another version of a method may have the same fields.
    same = [rows["kriging"], {**rows["kriging"], "method_version": "2"}]
    assert [row["doubts"] for row in compared(same)] == [[], []]


def test_nobody_changes_the_row_of_another(small: SmallSet, rows: dict[str, dict], tmp_path: Path) -> None:
    """A later row of the reference's name is not the reference, and a replaced row that has become a copy is the copy."""
    board = tmp_path / "board.html"
    first = {**rows["half"], "method": "other", "method_version": "1"}
    for new in ([rows["kriging"], first], [{**rows["zeros"], "method": "kriging", "method_version": "0"}]):
        enter(new, small.card, board)
        held = json.loads((tmp_path / "board.json").read_text())
        for row in held["boards"][0]["rows"]:
            row["scored"] = row["scored"].replace("T", "S")  # earlier than all that come later
        (tmp_path / "board.json").write_text(json.dumps(held))
    enter([{**rows["copy"], "method": "other", "method_version": "1", "sha256": "new"}], small.card, board)
    enter([rows["kriging"]], small.card, board)
    found = {
        (row["method"], row["method_version"]): row for row in compared(boards_in(tmp_path / "board.json")[0]["rows"])
    }
    assert found["kriging", ""]["paired"] == {}
    assert found["kriging", ""]["doubts"] == []
    assert found["kriging", "0"]["paired"]["rmse"]["first_is"] == "worse"
    assert found["other", "1"]["doubts"] == ["suspicious: the fields are those of kriging"]


def test_differences_to_kriging_follow_from_the_rows(small: SmallSet, rows: dict[str, dict]) -> None:
    ordered = compared([rows["zeros"], rows["kriging"], rows["half"]])
    assert [row["method"] for row in ordered] == ["kriging", "half", "zeros"]
    assert ordered[0]["paired"] == {}
    expected = rows["zeros"]["overall"]["rmse"] - rows["kriging"]["overall"]["rmse"]
    found = ordered[2]["paired"]["rmse"]
    assert found["difference"] == pytest.approx(expected, abs=1e-4)
    assert found["first_is"] == "worse"
    assert found["interval"][0] < expected < found["interval"][1]
    alone = compared([rows["zeros"]])
    assert alone[0]["paired"] == {}


class Page(HTMLParser):
    """Tags of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_texts_of_submissions_are_texts(small: SmallSet, rows: dict[str, dict], tmp_path: Path) -> None:
    enter(
        [rows["kriging"], rows["zeros"], {**rows[HOSTILE], "training_data": HOSTILE, "hardware": HOSTILE}],
        small.card,
        tmp_path / "board.html",
    )
    page = Page(tmp_path / "board.html")
    assert page.text.count(HOSTILE) >= 6
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(tag == "img" or any(name.startswith("on") for name in about) for tag, about in page.tags)
    (policy,) = (about["content"] for _, about in page.tags if about.get("http-equiv") == "Content-Security-Policy")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'$", policy)
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_scores_that_are_not_defined_are_dashes(small: SmallSet, tmp_path: Path) -> None:
    """A truth without the tropics and of one year a case: no Nino 3.4, no trend, no bootstrap."""
    known = next(iter(small.known.values()))
    fields = np.where(np.abs(FIVE_DEGREES.lat)[:, None] < 10.0, np.nan, known.truth)[:24]
    write_fields(tmp_path / "truth.nc", known.time[:24], {VALUES: fields.astype(np.float32)}, {})
    masks = small.folder / small.card.cases[0].file
    export_set(tmp_path / "set", truth=tmp_path / "truth.nc", masks=masks, gaps=["own=1911-1913"])
    made = run_methods(["idw", "climatology"], tmp_path / "set", tmp_path / "made", load_site())
    rows = score_submissions(made, tmp_path / "set", truth=tmp_path / "truth.nc", board=tmp_path / "board.html")
    assert rows[0]["overall"]["event"] is None
    assert rows[0]["overall"]["annual_trend_ratio"] is None
    assert rows[0]["overall"]["small_scales"] is not None
    assert "Event:" not in Page(tmp_path / "board.html").text
    masks = tmp_path / "truth.nc"  # observed wherever the truth is known
    with pytest.raises(InputDataError, match="is missing, so that it could be scored"):
        export_set(tmp_path / "full", truth=tmp_path / "truth.nc", masks=masks, gaps=["own=1911-1912"])


def test_long_and_unprintable_texts_are_shortened(small: SmallSet, tmp_path: Path) -> None:
    (row,) = score_submissions(
        [small.submit(tmp_path / "a", zeros, method="a\x1b[31m\n b", authors="x" * 5000)], small.folder
    )
    assert row["method"] == "a [31m b"
    assert len(row["authors"]) == 300


def test_files_of_others_are_not_replaced(small: SmallSet, rows: dict[str, dict], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>my page")
    with pytest.raises(OutputError, match="no leaderboard"):
        enter([rows["zeros"]], small.card, tmp_path / "page.html")
    (tmp_path / "board.json").write_text('{"kind": "other"}')
    with pytest.raises(OutputError, match="no leaderboard"):
        enter([rows["zeros"]], small.card, tmp_path / "board.html")
    with pytest.raises(UsageError, match=r"\.html"):
        enter([rows["zeros"]], small.card, tmp_path / "board.csv")
    assert (tmp_path / "page.html").read_text() == "<p>my page"
    assert (tmp_path / "board.json").read_text() == '{"kind": "other"}'


def test_scorers_at_the_same_time_lose_no_row(small: SmallSet, rows: dict[str, dict], tmp_path: Path) -> None:
    board = tmp_path / "board.html"
    threads = [
        threading.Thread(target=enter, args=([{**rows["zeros"], "method": f"m{number}"}], small.card, board)) for number in range(8)
    ]  # fmt: skip
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    (found,) = boards_in(tmp_path / "board.json")
    assert sorted(row["method"] for row in found["rows"]) == [f"m{number}" for number in range(8)]
    assert all(f"m{number}" in board.read_text() for number in range(8))


#: Clicks the head of a column twice, and writes the order of the rows after each click into the page.
CLICKS = """<script>addEventListener('load', () => {
const table = document.querySelector('table.overall');
const order = () => [...table.tBodies[0].rows].map(r => r.cells[0].firstChild.textContent.trim()).join('|');
const found = [order()];
for (const column of [4, 4, 0]) { table.tHead.rows[0].cells[column].querySelector('button').click(); found.push(order()); }
document.body.dataset.orders = JSON.stringify(found);
});</script>"""


@pytest.mark.browser
def test_a_click_sorts(small: SmallSet, rows: dict[str, dict], tmp_path: Path) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here; install the package chromium")
    board = tmp_path / "board.html"
    without_crps = {**rows["half"], "overall": {**rows["half"]["overall"], "crps": None}}
    enter([rows["kriging"], rows["zeros"], without_crps, rows["perfect"]], small.card, board)
    # The page lets its own script in by its hash; the one that clicks is let in for this test.
    import base64
    import hashlib

    inner = re.findall(r"<script>(.*)</script>", CLICKS, re.DOTALL)[0]
    allowed = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
    text = (
        board.read_text()
        .replace("script-src ", f"script-src 'sha256-{allowed}' ")
        .replace("</body>", CLICKS + "</body>")
    )
    (tmp_path / "probed.html").write_text(text)
    answer = subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom",
         (tmp_path / "probed.html").as_uri()],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    found = re.search(r'data-orders="([^"]*)"', answer.stdout)
    assert found, answer.stdout[-2000:]
    at_first, up, down, by_name = (one.split("|") for one in json.loads(found[1].replace("&quot;", '"')))
    assert at_first == ["perfect", "kriging", "half", "zeros"]
    assert up == ["perfect", "kriging", "zeros", "half"]
    assert down == ["zeros", "kriging", "perfect", "half"]
    assert by_name == ["half", "kriging", "perfect", "zeros"]


def test_the_card_is_whole(small: SmallSet) -> None:
    content = json.loads((small.folder / "benchmark.json").read_text())
    assert SetCard.model_validate(content) == small.card
    assert {"licence", "benchmark_version", "made_with", "cases", "truth", "limits", "attributes"} <= set(content)
    assert STDDEV in (small.folder / "README.md").read_text()


def test_the_figure_names_a_reference_that_it_does_not_draw() -> None:
    better = {"rmse": {"difference": -0.1, "interval": [-0.2, -0.05], "first_is": "better"}}
    names = [*(f"m{number}" for number in range(MOST)), "kriging"]
    shared = {"method_version": "1", "overall": {"rmse": 0.5}, "cases": {"a": {"rmse": 0.5}}}
    rows = [{"method": name, "paired": {} if name == "kriging" else better, **shared} for name in names]
    picture = draw_leaderboard(rows, ["a"], "K")
    assert picture.figure.axes[1].get_xlabel() == "RMSE less that of kriging 1, K"
    assert "Difference to kriging 1 (b), with" in picture.caption
    assert picture.caption.endswith(" 1 more are in the table.")

"""The leaderboard: rows in a JSON file, and the page that shows them.

Rows of another version or other inputs stand on a board of their own. Paired differences and doubts that need two rows
are worked out when the page is written, so that they hold for all rows whatever their order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from climrecon.benchmark_set.card import SetCard
from climrecon.benchmark_set.cases import Files
from climrecon.benchmark_set.scoring import Reference, case_result, row_of
from climrecon.benchmark_set.submission import About, Fields, SubmissionError, case_files, read_about, read_case
from climrecon.benchmark_set.truth import ScoredSet
from climrecon.errors import ClimReconError, OutputError, UsageError
from climrecon.files import parse_json, read_text, write_text
from climrecon.interruption import signals_wait
from climrecon.locks import locked
from climrecon.report import write_page
from climrecon.scores.paired import INTERVAL, difference
from climrecon.workflow.progress import Quiet, Reporter

KIND = "climrecon leaderboard"
#: The method that all others are compared with.
REFERENCE = "kriging"
#: Two methods' fields are equal if they differ by less than this share of their error, or by rounding, K.
_SAME_SHARE, _ROUNDED = 0.02, 0.002
_LONGEST_WAIT = 50.0
_MARK = "<!-- climrecon leaderboard -->"


def score_submissions(
    folders: Sequence[Path],
    benchmark: Path,
    *,
    truth: Files | None = None,
    key: Path | None = None,
    board: Path | None = None,
    reporter: Reporter | None = None,
) -> list[dict[str, Any]]:
    """Check and score submissions, and enter them in a leaderboard.

    Parameters
    ----------
    folders:
        One a submission.
    benchmark:
        Folder of the set.
    truth, key:
        File of the truth, or of the hidden seed, where the set needs one.
    board:
        Page to write, ``FILE.html``; its rows are in ``FILE.json``. None: rows are returned alone.

    Returns
    -------
    The rows, see :func:`climrecon.benchmark_set.scoring.row_of`.

    Raises
    ------
    SubmissionError
        If submissions cannot be scored, with the problems of all of them; then the board is not changed.
    UsageError, InputDataError, OutputError
        If the set, its truth or the board cannot be used.
    """
    reporter = reporter or Quiet()
    scored = ScoredSet.of(benchmark, truth, key)
    if board is not None:
        files_of(board)
    reporter.stage(f"Checking {len(folders)} submissions to {scored.card.name}")
    files, about = check_submissions(folders, scored.card)
    problems: list[ClimReconError] = []
    results: dict[Path, dict[str, Any]] = {folder: {} for folder in folders}
    references: dict[str, Reference] = {}
    for number, case in enumerate(scored.card.cases):
        given = scored.input(case)
        fields: dict[Path, Fields] = {}
        for folder in folders:
            try:
                fields[folder] = read_case(files[folder][case.name], given)
            except ClimReconError as error:
                problems.append(error)
        if problems:
            continue  # all files are checked, and none is scored
        references[case.name] = reference = Reference.of(scored.known(given), given)
        for position, folder in enumerate(folders):
            results[folder][case.name] = case_result(reference, fields[folder], int(case.content_sha256[:8], 16))
            reporter.step(number * len(folders) + position + 1, len(scored.card.cases) * len(folders))
    _raise(problems)
    rows = [row_of(about[folder], scored.card, references, results[folder]) for folder in folders]
    if board is not None:
        enter(rows, scored.card, board)
    return rows


def check_submissions(folders: Sequence[Path], card: SetCard) -> tuple[dict[Path, dict[str, Path]], dict[Path, About]]:
    """The file of each case and the attributes of each submission; fields are not read.

    Raises
    ------
    SubmissionError
        If some lack files or attributes, with the problems of all of them.
    UsageError
        If two have one method and version.
    """
    files, about, problems = {}, {}, []
    for folder in folders:
        try:
            files[folder] = case_files(folder, card)
            about[folder] = read_about(files[folder])
        except ClimReconError as error:
            problems.append(error)
    _raise(problems)
    names = Counter((one.method, one.method_version) for one in about.values())
    if twice := [" ".join(filter(None, name)) for name, count in names.items() if count > 1]:
        raise UsageError(
            f"Several of these submissions have one method and version: {', '.join(twice)}.",
            "Give each a method_version of its own: a row replaces that of its method and version.",
        )
    return files, about


def _raise(problems: Sequence[ClimReconError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        hint = " ".join(dict.fromkeys(error.hint for error in problems if error.hint))
        texts = [error.message.replace("\n  - ", "\n      - ") for error in problems]
        raise SubmissionError(texts, "Submissions cannot be scored:", hint)


def files_of(board: Path) -> tuple[Path, Path]:
    """Page and rows of a leaderboard, by the name of the page.

    Raises
    ------
    UsageError
        If it is no name of a page.
    OutputError
        If a file of that name is no leaderboard.
    """
    if board.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"The leaderboard {board} is a page.", "Give it a name that ends in .html.")
    if not board.parent.is_dir():
        raise OutputError(f"There is no folder {board.parent}.", "Make it, or name another one.")
    if board.exists() and _MARK not in _text(board):
        raise OutputError(f"{board} is there already and is no leaderboard.", "Name another file.")
    return board, board.with_suffix(".json")


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path} cannot be read: {error}", "Name another file.") from error


def read_boards(path: Path) -> list[dict[str, Any]]:
    """The boards in a JSON file of ours; none if it is not there.

    Raises
    ------
    OutputError
        If it is another file.
    """
    if not path.exists():
        return []
    try:
        content = parse_json(_text(path))
        if content["kind"] == KIND and content["schema_version"] == 1:
            return list(content["boards"])
    except (ValueError, KeyError, TypeError):
        pass
    raise OutputError(f"{path} is there already and holds no leaderboard.", "Name another file with --leaderboard.")


def enter(rows: Sequence[Mapping[str, Any]], card: SetCard, board: Path) -> list[dict[str, Any]]:
    """Enter rows in the board of a set; a row of the same method and version is replaced. Returns all boards of the file.

    Raises
    ------
    OutputError
        If the files cannot be written, are others, or are locked for too long.
    """
    page, path = files_of(board)
    with _alone(path):
        boards = entered(rows, card, read_boards(path))
        try:
            with signals_wait():
                write_text(path, json.dumps(content_of(boards), indent=1) + "\n")
                write_board(page, boards)
        except OSError as error:
            raise OutputError(f"{board} cannot be written: {error}", "Name another file.") from error
    return boards


def entered(
    rows: Sequence[Mapping[str, Any]], card: SetCard, boards: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """``boards`` with ``rows`` in that of the set ``card``, which comes first if it is new."""
    own = next((one for one in boards if one["set"] == card.identity), None)
    before = {_name(row): row for row in own["rows"]} if own else {}
    now, after = datetime.now(UTC).isoformat(timespec="seconds"), dict(before)
    for row in rows:
        # The same files, scored again, stay the first of those that equal them.
        same = _name(row) in before and before[_name(row)]["sha256"] == row["sha256"]
        after[_name(row)] = {**row, "scored": before[_name(row)]["scored"] if same else now}
    new = {"set": card.identity, "card": card.model_dump(mode="json")} if own is None else own
    new = {**new, "rows": list(after.values())}
    return [new if one is own else dict(one) for one in boards] if own else [new, *map(dict, boards)]


def content_of(boards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the JSON file of a leaderboard holds."""
    return {"kind": KIND, "schema_version": 1, "boards": list(boards)}


def lines_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Rows for people, best first: scores and doubts."""
    for row in sorted(rows, key=lambda one: float(one["overall"]["rmse"])):
        scores = row["overall"]
        parts = [("RMSE {:.3f} K", "rmse"), ("skill {:.3f}", "skill"), ("CRPS {:.3f} K", "crps"),
                 ("90 % covers {:.3f}", "covers_90")]  # fmt: skip
        shown = [form.format(scores[key]) for form, key in parts if scores[key] is not None]
        yield f"{' '.join(filter(None, _name(row)))}: {', '.join(shown)}"
        yield from (f"  {doubt}" for doubt in row["doubts"])


def _name(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["method"]), str(row["method_version"])


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with locked(path.with_name(f".{path.name}.lock"), _LONGEST_WAIT) as held:
        if not held:
            raise OutputError(f"Another scorer has held {path} for {_LONGEST_WAIT:g} s.", "Try again.")
        yield


def compared(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows, best RMSE first, with ``paired`` differences to kriging and all ``doubts``.

    Of several rows called kriging the first that was scored is the reference, and of equal fields the first has no doubt:
    nobody changes the row of another by a name or a copy.
    """
    ordered = sorted(rows, key=lambda row: str(row["scored"]))
    reference = next((row for row in ordered if row["method"] == REFERENCE), None)
    found = []
    for position, row in enumerate(ordered):
        doubts = [*row["doubts"], *_equal_to(row, ordered[:position])]
        paired = {} if reference is None or row is reference else _paired(row, reference)
        found.append({**row, "doubts": doubts, "paired": paired})
    return sorted(found, key=lambda row: float(row["overall"]["rmse"]))


def _paired(row: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Differences to the reference of RMSE and CRPS over all cases, tested by years."""
    cases = list(row["years"])

    def joined(of: Mapping[str, Any], key: str) -> Any:
        return np.concatenate([np.asarray(of["years"][name][key], float) for name in cases])

    records = [len(row["years"][name]["year"]) for name in cases]
    weight = joined(row, "weight")
    found = {"rmse": difference(joined(row, "squares"), joined(reference, "squares"), weight, records)}
    if all(of["years"][name]["crps"] for of in (row, reference) for name in cases):
        found["crps"] = difference(joined(row, "crps"), joined(reference, "crps"), weight, records, root=False)
    return found


def _equal_to(row: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> list[str]:
    """Doubts for fields that are those of another method that was scored before, or nearly so, in all cases."""
    found = []
    for other in earlier:
        if other["method"] == row["method"] or set(other["probes"]) != set(row["probes"]):
            continue
        apart = [
            float(np.sqrt(np.mean(np.square(np.subtract(values, other["probes"][name])))))
            for name, values in row["probes"].items()
        ]
        errors = [row["cases"][name]["rmse"] for name in row["probes"]]
        if all(a < max(_ROUNDED, _SAME_SHARE * e) for a, e in zip(apart, errors, strict=True)):
            found.append(f"suspicious: the fields are those of {other['method']}")
    return found


def shown_boards(boards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a page needs to show boards: their rows compared, the reference of differences, and how intervals are made."""
    return {
        "boards": [{**board, "rows": compared(board["rows"])} for board in boards],
        "reference": REFERENCE,
        "interval": f"{INTERVAL} over years",
    }


def write_board(page: Path, boards: Sequence[Mapping[str, Any]]) -> None:
    """Write the page."""
    write_page(page, "leaderboard.html.j2", mark=_MARK, **shown_boards(boards))

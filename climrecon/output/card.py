"""A network's card to read: markdown from the card's own content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from climrecon.errors import NetworkError
from climrecon.frequency import frequency_of

_SHOWN = (
    "command", "data", "further", "held_out", "covariances", "masks", "noise", "recipe", "start", "seed", "seconds",
    "hardware",
)  # fmt: skip
_SCORES = (
    ("rmse", "RMSE, {}"),
    ("crps", "CRPS, {}"),
    ("covers_90", "90 % covers"),
    ("annual_mean_bias", "annual mean: bias, {}"),
    ("annual_mean_rmse", "RMSE, {}"),
    ("annual_mean_r_detrended", "detrended r"),
)


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as markdown: training data, held-out data, scores, caveats."""
    return "\n".join(_lines(card)) + "\n"


def scored_on(card: Mapping[str, Any]) -> str:
    """``120 months``: what the scores of a card's content are of.

    Raises
    ------
    NetworkError
        If the card counts other steps than those of its frequency.
    """
    steps = frequency_of(card)
    if (count := card["scores"].get(f"n_{steps.plural}")) is None:
        raise NetworkError(
            f"The card of {card['name']} is of {steps.adjective} means, and its scores do not state n_{steps.plural}.",
            "Fetch the network again.",
        )
    return f"{count} {steps.plural}"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {card['name']}"
    yield f"\n{card['title']}; {card['variable']} in {card['units']}, anomalies to "
    yield f"{card['reference_period']}. Weights sha256 `{card['weights_sha256']}`."
    training, steps = card["training"], frequency_of(card).plural
    yield "\n## Training\n"
    for key in _SHOWN:
        if training.get(key) not in (None, ""):
            yield f"- {key.replace('_', ' ')}: {training[key]}"
    yield from _validation(training, training.get("validation_units", card["units"]))
    versions = training.get("versions", {})
    if versions:
        yield f"- versions: {', '.join(f'{name} {number}' for name, number in versions.items())}"
    members = training.get("members", {})
    if members:
        yield "\n## Members\n"
        yield f"| use | set | member | family | target | {steps} | notes |\n|---|---|---|---|---|---|---|"
        for use, rows in members.items():
            for row in rows:
                cells = (row["set"], row["name"], row["family"], row["target"], row[steps], "; ".join(row["notes"]))
                yield f"| {use} | " + " | ".join(_cell(text) for text in cells) + " |"
    if training.get("left_out"):
        yield "\nLeft out:\n"
        for name, reason in training["left_out"]:
            yield f"- {name}: {reason}"
    yield from _score_lines(card)
    yield "\n## Caveats\n"
    for caveat in card["caveats"]:
        yield f"- {caveat}"
    yield "\n## Network\n"
    yield f"- inputs: {', '.join(card['inputs'])}\n- outputs: {', '.join(card['outputs'])}"
    yield f"- {', '.join(f'{key} {value}' for key, value in card['architecture'].items())}"


def _validation(training: Mapping[str, Any], units: str) -> Iterator[str]:
    """The scores that chose the weights, and other methods' on the same months under the same masks."""
    network, others = training.get("validation", {}), training.get("validation_beside", {})
    if not network or not others:
        return
    parts = []
    for key, what in (("rmse", f"RMSE, {units}"), ("annual_r", "annual mean r"), ("annual_rmse", f"its RMSE, {units}")):
        if network.get(key) is not None:
            rest = ", ".join(f"{name} {row[key]:.4f}" for name, row in others.items() if row.get(key) is not None)
            parts.append(f"{what} {network[key]:.4f} ({rest})")
    yield f"- validation, by which the weights were chosen: {'; '.join(parts)}"


def _cell(text: Any) -> str:
    return str(text).replace("|", "/").replace("\n", " ")


def _score_lines(card: Mapping[str, Any]) -> Iterator[str]:
    scores, units = card["scores"], card["units"]
    if not scores:
        return
    count, steps = scored_on(card).split()
    members = f" of {', '.join(scores['members'])}" if scores.get("members") else ""
    yield f"\n## Scores\n\n{count} held-out {steps}{members}; noise seeds {scores['seeds']}; cells that "
    yield "the mask hides are scored.\n"
    yield "| case | method | " + " | ".join(label.format(units) for _, label in _SCORES) + " |"
    yield "|---|---|" + "---|" * len(_SCORES)
    for case, methods in scores["cases"].items():
        for method, row in methods.items():
            shown = " | ".join(f"{row[key]:.3f}" if row.get(key) is not None else "" for key, _ in _SCORES)
            yield f"| {case} | {method} | {shown} |"
    for method, answer in scores.get("response", {}).items():
        answers = ", ".join(f"{value:.3f} {units} ({mask})" for mask, value in answer.items())
        yield f"\n{method} answers +1 {units} everywhere with {answers}."

"""Scores of another method on the validation's months under the same masks, to compare with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from climrecon.files import parse_json, write_text
from climrecon.training.resume import Checkpoints
from climrecon.training.validation_set import Estimator, ValidationSet

#: In the folder of the checkpoint, so that a resumed training need not work them out again.
FILE = "reference_scores.json"
#: Method -> its scores, as :meth:`climrecon.training.validation_set.ValidationSet.score` gives them.
ReferenceScores = Mapping[str, Mapping[str, float]]


def reference_scores(
    checkpoints: Checkpoints, cases: ValidationSet, methods: Mapping[str, Estimator]
) -> dict[str, dict[str, float]]:
    """Scores of each of ``methods`` on ``cases``; worked out once for a training."""
    if not methods:
        return {}
    about = json.dumps([dict(checkpoints.identity), sorted(methods)], sort_keys=True)
    digest = hashlib.sha256(about.encode()).hexdigest()
    path = checkpoints.folder / FILE
    try:
        kept = parse_json(path.read_text(encoding="utf-8"))
        if kept["training"] == digest:
            return dict(kept["scores"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    scores = {name: cases.score(estimate(cases)) for name, estimate in methods.items()}
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"training": digest, "scores": scores}, indent=1) + "\n")
    return scores


def compared(scores: Mapping[str, float], references: ReferenceScores, units: str) -> str:
    """``RMSE 0.71 K (kriging 0.75), annual mean r 0.990 (0.985), RMSE 0.050 K (0.060)``; "" without scores."""
    names = (
        ("rmse", f"RMSE {{:.3f}} {units}", "{:.3f}"),
        ("annual_r", "annual mean r {:.4f}", "{:.4f}"),
        ("annual_rmse", f"its RMSE {{:.4f}} {units}", "{:.4f}"),
    )
    parts = []
    for number, (key, text, form) in enumerate(names):
        if key not in scores:
            continue
        others = [
            (f"{name} " if number == 0 else "") + form.format(row[key])
            for name, row in references.items()
            if key in row
        ]
        parts.append(text.format(scores[key]) + (f" ({', '.join(others)})" if others else ""))
    return ", ".join(parts)

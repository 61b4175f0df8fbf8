"""Stands in for task=train in tests of batch jobs: stages that cost nothing, in the shape of the real ones.

On ``PYTHONPATH`` it is loaded by every Python of a job. What it does is written in ``behaviour.json`` in the
run's output folder: ``parts``, ``steps``, ``seconds`` a step, ``fail`` (a stage), ``prepare_seconds``.

With ``CLIMRECON_STEP_SECONDS`` every step of a real training takes so long, so that a job's end can meet it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any


def _stages(settings: Any) -> Any:
    from climrecon.errors import InputDataError, Unfinished
    from climrecon.files import write_text
    from climrecon.workflow.outcome import Outcome
    from climrecon.workflow.stage import Stage

    folder = Path(settings.outputdir)
    behaviour = folder / "behaviour.json"
    wanted = json.loads(behaviour.read_text()) if behaviour.exists() else {}
    parts = wanted.get("parts", 3)

    def fail(stage: str) -> None:
        if wanted.get("fail") == stage:
            raise InputDataError(f"the file for {stage} is broken", "Mend it.")

    def prepare(part: int, reporter: Any) -> None:
        reporter.stage(f"Preparing {part}")
        fail("prepare")
        time.sleep(wanted.get("prepare_seconds", 0))
        write_text(folder / f"prepared-{part}", str(time.time()))

    def train(part: int, reporter: Any) -> None:
        fail("train")
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        steps, state = wanted.get("steps", 3), folder / "state.json"
        done, value = json.loads(state.read_text()) if state.exists() else (0, "seed")
        reporter.stage("Training")
        while done < steps:
            time.sleep(wanted.get("seconds", 0.01))
            done, value = done + 1, hashlib.sha256(value.encode()).hexdigest()
            reporter.step(done, steps)
            if stopped:
                write_text(state, json.dumps([done, value]))
                raise Unfinished(f"stopped at step {done}", "The same call continues.")
        write_text(folder / "trained.json", json.dumps({"value": value, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}))

    def is_trained(part: int) -> bool:
        return (folder / "trained.json").exists()

    def collect(part: int, reporter: Any) -> Outcome:
        fail("collect")
        found = sorted(path.name for path in folder.glob("prepared-*"))
        manifest = {"schema": 1, "status": "done", "outputs": [], "prepared": found}
        write_text(folder / "manifest.json", json.dumps(manifest))
        return Outcome(folder, manifest, [f"collected {len(found)} parts"])

    return (
        Stage("prepare", prepare, parts, lambda part: (folder / f"prepared-{part}").exists()),
        Stage("train", train, is_done=is_trained, gpu=True, continues=True, distributed=True),
        Stage("collect", collect),
    )


def _slow_steps(seconds: float) -> None:
    from climrecon.training import engine

    before = engine.Loop.advance

    def advance(self: Any, module: Any) -> None:
        before(self, module)
        time.sleep(seconds)

    engine.Loop.advance = advance


def _install() -> None:
    import climrecon.tasks.run as real
    from climrecon.workflow.run_info import RunInfo

    before = real.stages_of

    def stages_of(settings: Any, site: Any, info: RunInfo) -> Any:
        trivial = settings.task == "train" and settings.network_name == "trivial"
        seconds = float(os.environ.get("CLIMRECON_STEP_SECONDS", "0"))
        if settings.task == "train" and seconds and not trivial:
            _slow_steps(seconds)
        return _stages(settings) if trivial else before(settings, site, info)

    real.stages_of = stages_of


if os.environ.get("CLIMRECON_TRIVIAL"):
    _install()

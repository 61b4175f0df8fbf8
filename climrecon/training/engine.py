"""The loop: takes a task, an optimiser and what is to happen on the way; objects, not settings.

What a step sees depends on its number and the seed alone, not on how often the training was interrupted, nor on how
many processes share a batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn
from torch import distributed as dist

from climrecon.errors import InputDataError, Unfinished
from climrecon.training.distributed import Workers
from climrecon.training.reference_scores import ReferenceScores, compared
from climrecon.training.resume import Checkpoints, StopRequest, stop_when_asked
from climrecon.variables import VARIABLES

#: Called with a step's number and the network as it was validated.
Shown = Callable[[int, nn.Module], None]
SCORES = ("score", "rmse", "annual_r", "annual_rmse")


class Task(Protocol):
    """What is fitted: a network, the loss of a step, scores."""

    @property
    def network(self) -> nn.Module:
        """What is fitted."""

    @property
    def module(self) -> nn.Module:
        """Gives the loss of a step's number; a module, so that its gradients can be averaged over processes."""

    def begin(self, step: int) -> None:
        """Called before each step with its number, for what changes on the way."""

    def rate(self, step: int) -> float:
        """The learning rate."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores of a network; ``score`` is what is minimised."""


@dataclass(frozen=True)
class Plan:
    """Numbers of the loop; see :class:`climrecon.training.recipes.Recipe`."""

    iterations: int
    check_every: int
    averaging: float = 0.0
    patience: int = 0
    clip: float | None = None
    checkpoint_seconds: float = 300.0
    max_seconds: float | None = None
    units: str = VARIABLES["tas"].units


@dataclass
class TrainingHistory:
    """The course of a training: (step, training loss, score, seconds) and further scores of each validation."""

    rows: list[tuple[int, float, float, float]] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    seconds: float = 0.0
    ended: str = ""


@dataclass(frozen=True)
class Progress:
    """For whoever watches: how far, the last losses (NaN before the first), how fast, and how long still (s).

    ``comparison`` has the last validation's scores and those of other methods, in words.
    """

    step: int
    steps: int
    loss: float
    score: float
    per_second: float
    seconds_left: float
    checked: bool
    comparison: str = ""

    def __str__(self) -> str:
        left = self.seconds_left
        unit = f"{left / 3600:.1f} h" if left > 5400 else f"{left / 60:.1f} min" if left > 90 else f"{left:.0f} s"
        return (
            f"step {self.step} of {self.steps}, {self.per_second:.3g} it/s, {unit} left: "
            f"training {self.loss:.4f}, validation {self.score:.4f}"
            + (f"; {self.comparison}" if self.comparison else "")
        )


class Loop:
    """A training that can be stopped and continued at any step.

    Parameters
    ----------
    groups:
        The optimiser's parameter groups each have ``factor``, on the learning rate.
    reference_scores:
        Scores of other methods on the validation's months.
    shown:
        Called after each validation with the step's number and the network as it was validated.
    """

    def __init__(
        self,
        task: Task,
        optimiser: torch.optim.Optimizer,
        plan: Plan,
        workers: Workers,
        checkpoints: Checkpoints,
        report: Callable[[Progress], None] | None = None,
        reference_scores: ReferenceScores | None = None,
        shown: Shown | None = None,
    ) -> None:
        self.reference_scores, self.shown = reference_scores or {}, shown
        self.task, self.optimiser, self.plan, self.workers = task, optimiser, plan, workers
        self.checkpoints, self.report = checkpoints, report
        self.parameters = [p for p in task.network.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self.parameters] if plan.averaging else []
        self.history, self.step, self.since = TrainingHistory(), 0, 0
        self.best_score, self.best = math.inf, self._weights()
        self.running = torch.zeros((), device=workers.device)
        self.counted = 0

    def _weights(self) -> dict[str, Tensor]:
        return {key: value.detach().clone() for key, value in self.task.network.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on."""
        return {
            "step": self.step,
            "network": self._weights(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "best_score": self.best_score,
            "since": self.since,
            "running": self.running,
            "counted": self.counted,
            "rows": [list(row) for row in self.history.rows],
            "scores": self.history.scores,
            "best_step": self.history.best_step,
            "seconds": self.history.seconds,
            "ended": self.history.ended if self.plan.patience and self.since >= self.plan.patience else "",
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.task.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        for slow, saved in zip(self.average, state["average"], strict=True):
            slow.copy_(saved)
        self.best = {key: value.to(self.workers.device) for key, value in state["best"].items()}
        self.best_score, self.since, self.step = state["best_score"], state["since"], state["step"]
        self.running, self.counted = state["running"].to(self.workers.device), state["counted"]
        self.history = TrainingHistory(
            [(int(row[0]), *map(float, row[1:])) for row in state["rows"]],  # type: ignore[misc]
            list(state["scores"]),
            state["best_step"],
            state["seconds"],
            state["ended"],
        )
        torch.set_rng_state(state["torch_random"])
        # A training may go on with fewer GPUs, or with more.
        for number, random in enumerate(state["cuda_random"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(random, number)

    def run(self) -> TrainingHistory:
        """Train to the end; the network then holds the best weights.

        Raises
        ------
        Unfinished
            If a signal asked to stop; a checkpoint was written.
        InputDataError
            If the loss is no longer finite.
        """
        plan = self.plan
        saved = self.checkpoints.read()
        if saved is not None:
            self.restore(saved)
        self.workers.agree(self.step, str(self.checkpoints.path))
        module = self.workers.share_gradients(self.task.module, self._trial)
        begun, before = time.monotonic(), self.history.seconds
        first, written, reported = self.step, begun, begun
        with stop_when_asked() as asked:
            while self.step < plan.iterations and not self.history.ended:
                self.advance(module)
                now = time.monotonic()
                self.history.seconds = before + now - begun
                if self.step % plan.check_every == 0 or self.step == plan.iterations:
                    self._check()
                    self._report(self.step - first, now - begun, checked=True)
                    reported = now
                elif self.report and now - reported > 2.0:
                    self._report(self.step - first, now - begun, checked=False)
                    reported = now
                late = plan.max_seconds is not None and self.history.seconds > plan.max_seconds
                stop = self.workers.any(2 * bool(asked.signal) + late)
                if stop >= 2:
                    self._stop(asked)
                if stop == 1:
                    if self.step % plan.check_every:
                        self._check()
                    self.history.ended = f"time limit of {plan.max_seconds:g} s"
                if now - written > plan.checkpoint_seconds:
                    self._write()
                    written = time.monotonic()
            self._write()
            if self.workers.any(int(bool(asked.signal))):  # during the last step, or its checkpoint
                self._stop(asked)
        if self.workers.world > 1:  # rank 0 alone knows which weights were best
            for value in self.best.values():
                dist.broadcast(value, 0)
        self.task.network.load_state_dict(self.best)
        self.history.ended = self.history.ended or "all iterations"
        return self.history

    def _stop(self, asked: StopRequest) -> NoReturn:
        self._write()
        self.workers.wait()  # nobody leaves, and has the others ended, before the state is saved
        raise Unfinished(
            f"Training was asked to stop ({asked.signal or 'another process'}) after step {self.step} of "
            f"{self.plan.iterations}; its state is saved in {self.checkpoints.path}.",
            "The same command continues it.",
        )

    def _trial(self, module: nn.Module) -> None:
        """One step forward and back that leaves no trace."""
        kept, random = self._weights(), torch.get_rng_state()
        self.task.begin(self.step)
        module(self.step).backward()
        self.optimiser.zero_grad(set_to_none=True)
        self.task.network.load_state_dict(kept)
        torch.set_rng_state(random)

    def advance(self, module: nn.Module) -> None:
        """Take one step with ``module``, which gives the loss of a step's number."""
        step, plan = self.step, self.plan
        self.task.begin(step)
        rate = self.task.rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.zero_grad(set_to_none=True)
        loss = module(step)
        loss.backward()
        if plan.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, plan.clip)
        self.optimiser.step()
        self.running += loss.detach()
        self.counted += 1
        self.step += 1
        if self.average:
            decay = min(plan.averaging, self.step / (self.step + 9))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1.0 - decay)  # type: ignore[arg-type]

    def _check(self) -> None:
        """Validate, keep the best, decide whether to go on. Only rank 0 validates; all learn what it found."""
        loss = self._finite()
        self.running.zero_()
        self.counted = 0
        kept = [p.detach().clone() for p in self.parameters]
        if self.average:
            _copy(self.parameters, self.average)
        ended = 0
        if self.workers.rank == 0:
            scores = self.task.validate(self.task.network)
            self.history.rows.append((self.step, loss, scores["score"], self.history.seconds))
            self.history.scores.append(scores)
            self.since += 1
            if scores["score"] < self.best_score:
                self.best_score, self.since = scores["score"], 0
                self.best, self.history.best_step = self._weights(), self.step
            self._log()
            self._show()
            ended = int(0 < self.plan.patience <= self.since)
        if self.average:
            _copy(self.parameters, kept)
        if self.workers.any(ended):
            self.history.ended = f"no better score in {self.plan.patience} validations"

    def _show(self) -> None:
        if self.shown is None:
            return
        # Whoever looks puts the network into evaluation mode; frozen parts of it must stay as they were.
        modes = [(part, part.training) for part in self.task.network.modules()]
        self.shown(self.step, self.task.network)
        for part, training in modes:
            part.training = training

    def _log(self) -> None:
        # Other methods' scores are the same in every row, so that a plot of the file shows them as lines.
        references = {
            f"{name}_{key}": scores[key]
            for name, scores in self.reference_scores.items()
            for key in SCORES
            if key in scores
        }
        rows: list[tuple[Any, ...]] = [
            (*row[:2], row[3], *(scores.get(key, math.nan) for key in SCORES), *references.values())
            for row, scores in zip(self.history.rows, self.history.scores, strict=True)
        ]
        self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints.log(",".join(("step", "training_loss", "seconds", *SCORES, *references)), rows)

    def _write(self) -> None:
        self._finite()
        if self.workers.rank == 0:
            self.checkpoints.write(self.state())

    def _finite(self) -> float:
        """The mean loss since the last validation, which must be a number."""
        loss = float(self.running) / max(self.counted, 1)
        if not math.isfinite(loss):
            raise InputDataError(
                f"The loss is {loss} at step {self.step}: training diverged, or a training field has gaps.",
                f"Lower the rate, or exclude missing cells with 'scored'; {self.checkpoints.path} is from before.",
            )
        return loss

    def _report(self, steps: int, seconds: float, checked: bool) -> None:
        if self.report is None or self.workers.rank:
            return
        speed = steps / max(seconds, 1e-9)
        last = self.history.rows[-1] if self.history.rows else (0, math.nan, math.nan, 0.0)
        left = (self.plan.iterations - self.step) / max(speed, 1e-9)
        if self.plan.max_seconds is not None:
            left = min(left, self.plan.max_seconds - self.history.seconds)
        scores = self.history.scores[-1] if self.history.scores else {}
        comparison = compared(scores, self.reference_scores, self.plan.units)
        self.report(
            Progress(self.step, self.plan.iterations, last[1], last[2], speed, max(left, 0.0), checked, comparison)
        )


def _copy(to: Sequence[Tensor], source: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(to, source, strict=True):
            target.copy_(value)

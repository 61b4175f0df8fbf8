"""State of each part of a run: from Slurm while it remembers the job, else from the job's own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from climrecon.jobs.commands import Row
from climrecon.jobs.record import Chain, Submitted

#: Ends; everything else may still change.
GOOD = "done"
BAD = ("failed", "timed out", "cancelled", "node failed", "out of memory", "unfinished", "lost", "impossible")
ENDS = (GOOD, *BAD)

_OF_SLURM = {
    name: state
    for state, names in {
        "queued": "PENDING CONFIGURING REQUEUED REQUEUE_FED",
        "running": "RUNNING COMPLETING STAGE_OUT SIGNALING",
        "suspended": "SUSPENDED STOPPED",
        "held": "RESV_DEL_HOLD REQUEUE_HOLD SPECIAL_EXIT",
        GOOD: "COMPLETED",
        "failed": "FAILED",
        "node failed": "BOOT_FAIL NODE_FAIL",
        "cancelled": "CANCELLED REVOKED PREEMPTED",
        "timed out": "TIMEOUT DEADLINE",
        "out of memory": "OUT_OF_MEMORY",
    }.items()
    for name in names.split()
}
_OF_JOB = {"done": GOOD, "failed": "failed", "stopped": "cancelled", "unfinished": "unfinished"}

#: Reasons for waiting that no waiting will cure.
_NEVER = (
    "PartitionTimeLimit",
    "PartitionNodeLimit",
    "BadConstraints",
    "InvalidAccount",
    "InvalidQOS",
    "DependencyNeverSatisfied",
    "AssocMaxWallDurationPerJobLimit",
    "AssocMaxNodePerJobLimit",
    "AssocMaxGRESPerJob",
    "QOSMaxWallDurationPerJobLimit",
    "QOSMaxNodePerJobLimit",
    "QOSMaxCpuPerJobLimit",
    "QOSMaxGRESPerJob",
    "MaxMemPerLimit",
    "launch failed requeued held",
)


@dataclass(frozen=True)
class PartState:
    """State of one part: one of ``queued running suspended held`` or of :data:`ENDS`."""

    stage: str
    part: int
    job: int
    state: str
    reason: str = ""
    start: str = ""
    node: str = ""
    exit_code: int = 0
    links: int = 0

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ENDS


def is_live(states: Sequence[PartState]) -> bool:
    """Whether any part may still run."""
    return any(not state.ended for state in states)


def overall(states: Sequence[PartState]) -> str:
    """One word for a whole run."""
    words = [state.state for state in states]
    if words and all(word == GOOD for word in words):
        return GOOD
    if is_live(states):
        return "running" if "running" in words else "queued"
    bad = [word for word in words if word in BAD]
    # Slurm cancels what stands behind a failed stage: the cause comes first.
    return next((word for word in bad if word not in ("cancelled", "lost")), bad[0] if bad else "empty")


def states_of(chain: Chain, rows: Mapping[str, Row] | None) -> list[PartState]:
    """State of every part.

    Parameters
    ----------
    rows:
        Rows of squeue; None if Slurm does not answer: then from the jobs' own records alone.
    """
    return [_state(chain, job, part, rows) for job in chain.jobs for part in job.parts]


def never_starts(row: Row) -> bool:
    """Whether a job waits for something that no waiting will bring."""
    return _OF_SLURM.get(row.state) == "queued" and any(never in row.reason for never in _NEVER)


def _state(chain: Chain, job: Submitted, part: int, rows: Mapping[str, Row] | None) -> PartState:
    key = job.key(part)
    report = chain.read("status", job.stage, part)
    if report.get("job") != job.job:
        report = {}  # of an earlier submission into the same folder
    code, links, node = (int(report.get("exit_code", 0)), int(report.get("links", 0)), str(report.get("node", "")))

    def made(state: str, reason: str = "", start: str = "") -> PartState:
        return PartState(job.stage, part, job.job, state, reason, start, node, code, links)

    row = rows.get(key) if rows is not None else None
    if row is not None:
        state = _OF_SLURM.get(row.state, row.state.lower())
        reason = "" if row.reason in ("None", "(null)") else row.reason
        node = row.node or node
        if never_starts(row):
            return made("impossible", reason)
        if state == "queued" and "JobHeld" in reason:
            return made("held", reason)
        if state == "failed" and report.get("state") == "unfinished":
            return made("unfinished", reason)
        # A job that Slurm stopped reports so, and Slurm calls its script failed: both are a cancelled job.
        if state == "failed" and report.get("state") == "stopped":
            return made("cancelled", reason)
        return made(state, reason, row.start if row.start not in ("N/A", "") else "")
    if key in chain.ended:
        return made(*chain.ended[key])
    if reported := _OF_JOB.get(str(report.get("state"))):
        return made(reported)
    if rows is None:
        return made("running" if report.get("state") == "running" else "queued", "Slurm does not answer")
    return made("lost", "Slurm no longer knows it, and it left no word of how it ended")


def endings(chain: Chain, states: list[PartState]) -> dict[str, list[str]]:
    """The final states to remember, by the keys of squeue."""
    keys = {(job.stage, part): job.key(part) for job in chain.jobs for part in job.parts}
    return {keys[s.stage, s.part]: [s.state, s.reason] for s in states if s.ended and s.state != "lost"}

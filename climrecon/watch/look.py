"""What a look does once it has the lock: find what is there, judge whether it is new, bring it forward."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from climrecon.errors import NoDataError
from climrecon.files import sha256_of
from climrecon.settings import RunSettings, Site
from climrecon.tasks.inputs import Inputs, resolve
from climrecon.watch import codes, publish
from climrecon.watch.detection import Found, Header, read_header, with_archives
from climrecon.watch.file_stamps import Stamp, signature, stamps_of, tree, youngest
from climrecon.watch.notify import tell
from climrecon.watch.options import Look, Options
from climrecon.watch.plausibility import Stop, judge, withdrawn
from climrecon.watch.remote import remote_digest
from climrecon.watch.state import DUE, FAILED, RUNNING, SUPERSEDED, UNFINISHED, Release, State
from climrecon.workflow.progress import Reporter


def settings_digest(settings: RunSettings) -> str:
    """Hash of the settings that a result depends on."""
    chosen = {**settings.fingerprinted("reconstruct"), "network": settings.network}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()


class ReleaseCheck:
    """One look that has the lock."""

    def __init__(
        self,
        raw: dict[str, Any],
        settings: RunSettings,
        site: Site,
        options: Options,
        reporter: Reporter,
        output: Path,
        state: State,
        key: str,
    ) -> None:
        self.raw, self.settings, self.site, self.options = raw, settings, site, options
        self.reporter, self.output, self.state, self.key = reporter, output, state, key
        self.tree = ""

    def look(self) -> Look:
        """Finish what an earlier look left, then see what is there."""
        for left in self.state.releases(*UNFINISHED):
            answer = self._advance(left, resumed=True)
            if answer is not None and answer.code == codes.WAITING:
                return answer
        settled = False
        if self.options.rebuild:
            waiting = self._rebuild(self.options.rebuild)
            if waiting:
                return waiting
            settled = True
        previous = self.state.current()
        outside = self._outside()
        try:
            inputs = resolve(self.settings, self.site, self.reporter)
        except NoDataError as error:
            if previous is None or any(Path(path).exists() for path in previous.content["files"]["main"]):
                raise
            return self._stopped(withdrawn(previous, error.message), previous) or Look(
                codes.DONE, f"Nothing is found; {previous.name} stays the current release, as was confirmed."
            )
        found = with_archives(
            inputs.main, inputs.uncorrelated, inputs.members, [path for path, _ in inputs.left_out], inputs.notes
        )  # fmt: skip
        stamps = found.stamps
        if not settled and (waiting := self._settling(found, stamps)):
            return waiting
        answer = self._taken(found, inputs, previous)
        if answer.final:
            # Stamped before anything was read: whatever changed since is seen by the next look.
            absent = {p: None for p, _ in inputs.left_out if "://" not in p and not Path(p).exists()}
            world = {
                **outside,
                "stamps": {**outside["stamps"], **stamps, **absent, **self._latest()},
                "folders": [str(folder) for folder in found.folders],
                "archives": [*map(str, found.beside)],
                "code": answer.code,
                "message": answer.again,
                "release": answer.release,
            }
            self.state.keep_world(self.key, world)
        return answer

    def _latest(self) -> dict[str, Stamp | None]:
        """The current release as its readers meet it: mended if someone breaks it."""
        return stamps_of([self.output / publish.LATEST / publish.MANIFEST])

    def _outside(self) -> dict[str, Any]:
        """What tells whether the catalogue changed, taken before it is read."""
        origin = "" if self.settings.obs_file else str(self.settings.catalogue or "")
        remote = origin.startswith(("http://", "https://"))
        places = []
        if origin and not remote:
            path = Path(origin).expanduser().absolute()
            places = [path, *path.parent.glob("*.csv*")]
        return {
            "origin": origin,
            "remote": remote_digest(origin) if remote else "",
            "stamps": stamps_of(places),
            "tree": self.tree,
        }

    def _rebuild(self, folder: Path) -> Look | None:
        """Write the catalogue anew if files came, went or changed, once they are whole."""
        from climrecon.catalogue import build_catalogue

        stamps = tree(folder)
        self.tree = signature(stamps)
        if self.state.get("tree") == self.tree and Path(self.settings.catalogue or "").is_file():
            return None
        if self.state.first_look_at("tree", self.tree) and not self._aged(youngest(stamps.values())):
            return Look(
                codes.WAITING, f"Waiting: files below {folder} changed; they may not be whole yet.", final=False
            )  # fmt: skip
        self.reporter.stage(f"Listing the files below {folder}")
        built = build_catalogue(folder, Path(self.settings.catalogue or ""))
        for item in built.left_out:
            self.reporter.note(f"left out: {item.path}: {item.reason}")
        self.state.put("tree", self.tree)
        return None

    def _aged(self, newest: float) -> bool:
        age = time.time() - newest
        return age >= self.options.watch.settle_seconds

    def _settling(self, found: Found, stamps: Mapping[str, Stamp | None]) -> Look | None:
        """Not None while a file may still be written to."""
        sign = signature(stamps)
        if not self.state.first_look_at("files", sign) or self._aged(youngest(stamps.values())):
            return None
        return Look(
            codes.WAITING,
            f"Waiting: {found.main[0].name} or what goes with it changed ({len(stamps)} files); it is taken when the "
            f"next look finds it the same, or after {self.options.watch.settle_seconds:g} s.",
            final=False,
        )

    def _taken(self, found: Found, inputs: Inputs, previous: Release | None) -> Look:
        """What to do with a release whose files are whole."""
        header = read_header(found.main, self.settings.variable)
        hashes = self._hashes(found)
        digest = hashlib.sha256(json.dumps(sorted(hashes.values())).encode()).hexdigest()
        older = next((r for r in self.state.releases() if r.digest == digest), None)
        copies = self.state.paths_of(previous.content["inputs"].values()) if previous else []
        stop = judge(previous, found, header, digest, older, copies)
        confirmed = ""
        if stop:
            if stopped := self._stopped(stop, previous):
                return stopped
            confirmed = stop.kind
        else:
            self.state.end_stops()
        release = self.state.release(digest, settings_digest(self.settings))
        if release is None:
            self._supersede()
            release = self._add(found, inputs, header, hashes, digest)
        if [*map(str, found.main)] != release.content["files"]["main"]:
            release = self.state.update(release, files=_files(found), inputs=hashes)
        if confirmed:
            release = self.state.update(release, confirmed=confirmed)
        answer = self._advance(release)
        assert answer is not None
        return answer

    def _hashes(self, found: Found) -> dict[str, str]:
        """sha256 of the files a run reads; only those whose size or dates changed are read for it."""
        hashes = {}
        for path, stamp in stamps_of(found.reads).items():
            if stamp is None:
                raise NoDataError(f"{path} vanished while it was looked at.", "It is looked for again.")
            digest = self.state.sha256(Path(path), stamp)
            if digest is None:
                self.reporter.stage(f"Hashing {Path(path).name}")
                digest = sha256_of(Path(path))
                self.state.keep_sha256(Path(path), stamp, digest)
            hashes[path] = digest
        return hashes

    def _add(
        self, found: Found, inputs: Inputs, header: Header, hashes: Mapping[str, str], digest: str
    ) -> Release:
        content = {
            "header": {
                "dataset": header.dataset,
                "version": header.version,
                "first": header.first,
                "last": header.last,
                "months": header.months,
                "grid": header.grid,
            },
            "files": _files(found),
            "inputs": dict(hashes),
            "facets": inputs.facets,
            "notes": list(inputs.notes),
            "settings": {**self.settings.fingerprinted("reconstruct"), "network": self.settings.network},
            "network": self.settings.network,
            "through": self.options.through,
        }
        self.reporter.note(f"new: {header.name}")
        return self.state.add(header.name, digest, settings_digest(self.settings), content)

    def _supersede(self) -> None:
        """What was due and is no longer there cannot be run."""
        for old in self.state.releases(DUE, FAILED, RUNNING):
            publish.remove(self.output, old.name)
            self.state.update(old, stage=SUPERSEDED)

    def _advance(self, release: Release, *, resumed: bool = False) -> Look | None:
        # Only here: a look without news has no use for arrays.
        from climrecon.watch.advance import advance
        from climrecon.watch.context import Work

        work = Work(
            self.raw, self.site, self.options.watch, self.reporter, self.output, self.state,
            self.options.through, self.options.freva,
        )  # fmt: skip
        done = advance(work, release, resumed=resumed)
        return (
            None
            if done is None
            else Look(done.code, done.message, done.release, ran=done.ran, final=done.final)
        )

    def _stopped(self, stop: Stop, previous: Release | None) -> Look | None:
        """The answer while nobody has decided; None once someone has."""
        row = self.state.stop(stop.signature, stop.kind, stop.message)
        if row["confirmed_at"]:
            return None
        stays = f" {previous.name} stays current." if previous else ""
        message = (
            f"Stopped ({stop.kind}): {stop.message}{stays} If that is right, 'climrecon releases --output "
            f"{self.output} --confirm' lets the next look go on; else restore the file."
        )
        final = True
        if not row["told"]:
            event = {"event": "stopped", "release": previous.name if previous else None, "message": message,
                     "code": codes.STOPPED}  # fmt: skip
            problems = tell(self.options.watch, event)
            for problem in problems:
                self.reporter.warning(problem)
            final = not problems
            if final:
                with self.state.change() as db:
                    db.execute("UPDATE stops SET told = 1 WHERE signature = ?", (stop.signature,))
        return Look(codes.STOPPED, message, previous.name if previous else None, final=final)


def _files(found: Found) -> dict[str, Any]:
    return {
        "main": [*map(str, found.main)],
        "uncorrelated": str(found.uncorrelated) if found.uncorrelated else None,
        "members": len(found.members),
        "archives": [path.name for path in found.archives],
    }

"""A look that has the lock: find the newest release, decide whether it is new, bring it forward."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from climrecon.errors import NoDataError
from climrecon.files import sha256_of
from climrecon.tasks.inputs import Inputs, resolve
from climrecon.watch import codes, publish
from climrecon.watch.context import Context, Look
from climrecon.watch.detection import ReleaseFiles, read_header, with_archives
from climrecon.watch.file_stamps import Stamp, remote_digest, signature, stamp_of, stamps_of, tree, youngest
from climrecon.watch.notify import announced
from climrecon.watch.plausibility import Stop, implausible, withdrawn
from climrecon.watch.state import DUE, FAILED, RUNNING, SUPERSEDED, UNFINISHED, Release
from climrecon.workflow.fingerprint import digest_of


class ReleaseCheck:
    """One look; the caller holds the lock."""

    def __init__(self, context: Context) -> None:
        self.context, self.state, self.settings = context, context.state, context.settings
        self.tree = ""

    def look(self) -> tuple[Look, dict[str, Any] | None]:
        """Finish what an earlier look left, then search.

        Returns the outcome, and the snapshot by which the next look sees whether anything changed; None if it has to
        search in any case.
        """
        for unfinished in self.state.releases(*UNFINISHED):
            answer = self._advance(unfinished, resumed=True)
            if answer is not None and answer.code == codes.WAITING:
                return answer, None
        rebuild = self.context.options.rebuild
        if rebuild and (waiting := self._rebuild(rebuild)):
            return waiting, None
        previous = self.state.current()
        # Stamped before anything is read: whatever changes later is seen by the next look.
        snapshot = self._snapshot()
        try:
            inputs = resolve(self.settings, self.context.site, self.context.reporter)
        except NoDataError as error:
            if previous is None or any(stamp_of(path) for path in previous.content["files"]["main"]):
                raise
            stays = f"No file is found; {previous.name} stays the current release, as was confirmed."
            stopped = self._stopped(withdrawn(previous, error.message), previous)
            return stopped or Look(codes.DONE, stays), None
        files = with_archives(inputs.main, inputs.uncorrelated, inputs.members, [path for path, _ in inputs.left_out])
        stamps = stamps_of(files.all)
        if not rebuild and self._may_be_incomplete("files", stamps):
            text = (
                f"Waiting: {files.main[0].name} or a file that belongs to it changed ({len(stamps)} files). It is taken "
                f"when the next look finds it the same, or {self._settle:g} s after the last change."
            )
            return Look(codes.WAITING, text, final=False), None
        answer = self._take(files, inputs, previous)
        absent = {p: None for p, _ in inputs.left_out if "://" not in p and not stamp_of(p)}
        latest = stamps_of([self.context.output / publish.LATEST / publish.MANIFEST])  # mended if it breaks
        snapshot["stamps"] = {**snapshot["stamps"], **stamps, **absent, **latest}
        snapshot["folders"] = sorted({str(path.parent) for path in files.main})
        snapshot["archives"] = [*map(str, files.all_archives)]
        return answer, snapshot

    def _snapshot(self) -> dict[str, Any]:
        """What shows whether the catalogue changed."""
        origin = "" if self.settings.obs_file else str(self.settings.catalogue or "")
        remote = origin.startswith(("http://", "https://"))
        path = Path(origin).expanduser().absolute()
        files = [path, *path.parent.glob("*.csv*")] if origin and not remote else []
        return {"remote": remote_digest(origin) if remote else "", "stamps": stamps_of(files), "tree": self.tree}

    def _rebuild(self, folder: Path) -> Look | None:
        """Write the catalogue anew if files came, went or changed, once they are whole."""
        from climrecon.catalogue import build_catalogue

        stamps = tree(folder)
        self.tree = signature(stamps)
        if self.state.get("tree") == self.tree and stamp_of(self.settings.catalogue or ""):
            return None
        if self._may_be_incomplete("tree", stamps):
            text = f"Waiting: files below {folder} changed; they may not be whole yet."
            return Look(codes.WAITING, text, final=False)
        self.context.reporter.stage(f"Listing the files below {folder}")
        built = build_catalogue(folder, Path(self.settings.catalogue or ""))
        for item in built.left_out:
            self.context.reporter.note(f"left out: {item.path}: {item.reason}")
        self.state.put("tree", self.tree)
        return None

    @property
    def _settle(self) -> float:
        return self.context.options.watch.settle_seconds

    def _may_be_incomplete(self, key: str, stamps: Mapping[str, Stamp | None]) -> bool:
        """Whether files changed since the look before, and so lately that somebody may still write to them."""
        changed = self.state.is_new(key, signature(stamps))
        return changed and time.time() - youngest(stamps.values()) < self._settle

    def _take(self, files: ReleaseFiles, inputs: Inputs, previous: Release | None) -> Look:
        """Bring a release whose files are whole as far as it goes."""
        header = read_header(files.main, self.settings.variable, self.settings.obs_variable or "")
        hashes = self._hashes(files)
        digest = digest_of(sorted(hashes.values()))
        older = next((r for r in self.state.releases() if r.digest == digest), None)
        copies = self.state.paths_of(previous.content["inputs"].values()) if previous else []
        stop = implausible(previous, files, header, digest, older, copies)
        if stop and (stopped := self._stopped(stop, previous)):
            return stopped
        if not stop:
            self.state.set_stops("open", 0)
        # The network that a run of these files takes, and so only here: it needs the libraries of networks.
        from climrecon.preprocess.field import grid_within
        from climrecon.tasks.methods import with_fitting_network

        settings = with_fitting_network(self.settings, grid_within(inputs.main[0], inputs.request(self.settings)))
        chosen = {**settings.fingerprinted("reconstruct"), "network": settings.network}
        names = {
            "main": [*map(str, files.main)],
            "uncorrelated": str(files.uncorrelated) if files.uncorrelated else None,
            "members": len(files.members),
            "archives": [path.name for path in files.archives],
        }
        release = self.state.release(digest, digest_of(chosen))
        if release is None:
            # Only here: a look without news has no use for checks and manifests.
            from climrecon.watch.run import names_taken

            for gone in self.state.releases(DUE, FAILED, RUNNING):  # their files are not found any more
                publish.remove(self.context.output, gone.name)
                self.state.update(gone, stage=SUPERSEDED)
            self.context.reporter.note(f"new release: {header.name}")
            content = {
                "header": {key: value for key, value in asdict(header).items() if key != "stated_version"},
                "files": names,
                "inputs": hashes,
                "facets": inputs.facets,
                "notes": list(inputs.notes),
                "settings": chosen,
                "network": settings.network,
                "through": self.context.options.through,
            }
            taken = names_taken(self.context.output, content)
            release = self.state.add(header.name, digest, digest_of(chosen), content, taken)
        if names["main"] != release.content["files"]["main"]:
            release = self.state.update(release, files=names, inputs=hashes)
        if stop:
            release = self.state.update(release, confirmed=stop.kind)
        answer = self._advance(release)
        assert answer is not None
        return answer

    def _hashes(self, files: ReleaseFiles) -> dict[str, str]:
        """sha256 of the files a run reads; worked out again only where size or dates changed."""
        hashes = {}
        for path, stamp in stamps_of(files.reads).items():
            if stamp is None:
                raise NoDataError(f"{path} vanished during the look.", "The next look searches again.")
            digest = self.state.sha256(Path(path), stamp)
            if digest is None:
                self.context.reporter.stage(f"Hashing {Path(path).name}")
                digest = sha256_of(Path(path))
                self.state.keep_sha256(Path(path), stamp, digest)
            hashes[path] = digest
        return hashes

    def _advance(self, release: Release, *, resumed: bool = False) -> Look | None:
        # Only here: a look without news has no use for arrays.
        from climrecon.watch.advance import advance

        return advance(self.context, release, resumed=resumed)

    def _stopped(self, stop: Stop, previous: Release | None) -> Look | None:
        """The outcome while nobody has decided; None once someone has."""
        row = self.state.stop(stop.signature, stop.kind, stop.message)
        if row["confirmed_at"]:
            return None
        name = previous.name if previous else None
        stays = f" {name} stays current." if name else ""
        message = (
            f"Stopped ({stop.kind}): {stop.message}{stays} If this is intended, 'climrecon releases --output "
            f"{self.context.output} --confirm' lets the next look go on; otherwise restore the file."
        )
        event = {"event": "stopped", "release": name, "message": message, "code": codes.STOPPED}
        if not row["notified"]:
            if not announced(self.context, event):
                return Look(codes.STOPPED, message, name, final=False)
            self.state.set_stops("notified", 1)
        return Look(codes.STOPPED, message, name)

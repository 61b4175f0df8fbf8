"""Scheduled reruns: has a new release appeared, what has been run on it, may it be published?

Nothing here starts a run: :mod:`climrecon.pipeline.watching` does, with the parts of this package.
"""

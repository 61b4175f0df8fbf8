"""Scheduled reruns: has a new release appeared, what has been run on it, may it be published?"""

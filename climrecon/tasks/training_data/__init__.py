"""Prepared fields, members, coverage and noise, shared by training and evaluation."""

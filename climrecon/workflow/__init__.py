"""Stages, where they run, and the folder of a run. Knows no task and no climate."""

"""From validated settings to a task and its stages."""

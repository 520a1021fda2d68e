"""Ctrl-C: its exit code, and what is said of it."""

INTERRUPTED = 130
NOTHING_LEFT = "Interrupted; nothing was left half-written."


class Interrupted(Exception):
    """Ctrl-C, with a sentence on what was kept."""

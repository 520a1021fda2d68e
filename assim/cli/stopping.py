"""Ctrl-C with something to say."""


class Interrupted(Exception):
    """Ctrl-C, with a sentence on what was kept."""

"""Errors of devstack."""


class DevstackError(Exception):
    """An error that the user can correct. The text says what happened and what to do."""


class Interrupted(DevstackError):
    """The start was cancelled (Ctrl-C, or another service failed)."""

"""What devstack raises."""


class DevstackError(Exception):
    """Something that the person at the keyboard can put right: the text says what happened and what to do."""


class Interrupted(DevstackError):
    """Starting was cut short (Ctrl-C, or another part failed)."""

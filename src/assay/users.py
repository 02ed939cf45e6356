"""Who runs this process."""

from contextlib import suppress


def user() -> str:
    """Return the name of the user who runs this process; '' if the system has none."""
    with suppress(OSError, KeyError, ImportError):
        import getpass

        return getpass.getuser()
    return ""

"""The error a user can mend: its message names the thing and what to do about it."""


class PlatformError(Exception):
    """Raised for bad input or a broken environment; commands print it and exit non-zero."""

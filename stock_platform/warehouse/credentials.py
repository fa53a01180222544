"""Passwords of the local warehouse: made at random on its first start, readable by the owner only.

An external ClickHouse has its own; they come from the settings.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from stock_platform.errors import PlatformError

ADMINISTRATOR = "default"
READER = "reader"

_FILE = "credentials.json"


def load(directory: Path) -> dict[str, str]:
    """Passwords by user name.

    Raises:
        PlatformError: there are none yet, or the file is damaged.
    """
    path = directory / _FILE
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise PlatformError(
            f"no passwords in {path}: start the local warehouse once (`stock-platform warehouse`)"
        ) from None
    except (OSError, ValueError) as error:
        raise PlatformError(f"can't read {path}: {error} ({_MEND})") from None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(user), str) and found[user] for user in (ADMINISTRATOR, READER)
    ):
        raise PlatformError(f"{path} lacks a password of {ADMINISTRATOR} or {READER} ({_MEND})")
    return {user: found[user] for user in (ADMINISTRATOR, READER)}


_MEND = "delete it while the server is stopped: the next start makes new passwords"


def load_or_create(directory: Path) -> dict[str, str]:
    """`load`, after making the passwords on first use; call only with the server's lock held."""
    path = directory / _FILE
    if not path.exists():
        made = {user: secrets.token_urlsafe(24) for user in (ADMINISTRATOR, READER)}
        draft = path.with_suffix(".json.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(json.dumps(made) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    path.chmod(0o600)
    return load(directory)

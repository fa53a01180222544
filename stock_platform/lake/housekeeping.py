"""Keeps a table's Iceberg metadata small, so that the thousandth commit costs what the first did.

Only metadata that no kept snapshot names is deleted here, never an object. Time travel for users is
by `known_at`, so old snapshots matter little: the last few are kept, and one a week by a tag.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

KEEP = 6
"""The newest snapshots that are never expired: readers may still be planning on them."""
EXPIRE_ABOVE = 12
"""Expire in batches: from this many snapshots without a tag down to KEEP. A commit copies the whole
history for each change it makes, so half as many snapshots save a quarter of its time."""
KEEP_WEEKS = 104
"""Weekly tags kept; each one makes every commit a little dearer."""
_TAG = "week-"


def tidy(table: Table) -> None:
    """Tag the last snapshot of a week that is over, and expire in batches.

    Losing a race to another writer is fine: it tidied, or the next commit will.
    """
    from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

    try:
        _tag_finished_week(table)
        _expire(table)
    except (CommitFailedException, CommitStateUnknownException, ValueError):
        # ValueError: a snapshot or tag that was to go is gone already.
        return


def _tag_finished_week(table: Table) -> None:
    history = sorted(table.metadata.snapshots, key=lambda item: item.timestamp_ms)
    if len(history) < 2:
        return
    before, now = history[-2:]
    week = _week(before)
    tags = sorted(name for name in table.metadata.refs if name.startswith(_TAG))
    if week == _week(now) or week in tags:
        return
    changes = table.manage_snapshots().create_tag(before.snapshot_id, week)
    for old in [*tags, week][:-KEEP_WEEKS]:
        changes = changes.remove_tag(old)
    changes.commit()


def _week(snapshot: Snapshot) -> str:
    moment = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
    return f"{_TAG}{moment:%G-W%V}"


def _expire(table: Table) -> None:
    history = sorted(table.metadata.snapshots, key=lambda item: item.sequence_number or 0)
    named = {ref.snapshot_id for ref in table.metadata.refs.values()}
    free = [item for item in history if item.snapshot_id not in named]
    if len(free) <= EXPIRE_ABOVE:
        return
    gone = {item.snapshot_id for item in free[:-KEEP]}
    garbage = _named_only_by(table, history, gone)
    expiry = table.maintenance.expire_snapshots()
    for snapshot_id in gone:
        expiry = expiry.by_id(snapshot_id)
    expiry.commit()
    for path in garbage:
        # A leftover after a kill right here costs a few kilobytes and misleads nobody.
        with suppress(FileNotFoundError):
            table.io.delete(path)


def _named_only_by(table: Table, history: list[Snapshot], gone: set[int]) -> set[str]:
    """Metadata files that nothing but the snapshots in `gone` names.

    Appends only add and merge manifests: once a manifest is out of a snapshot it never comes back.
    So whether a kept snapshot needs one is answered by the nearest kept neighbours on each side.
    """
    files: dict[int, set[str]] = {}

    def manifests(snapshot: Snapshot) -> set[str]:
        if snapshot.snapshot_id not in files:
            files[snapshot.snapshot_id] = {
                item.manifest_path for item in snapshot.manifests(table.io)
            }
        return files[snapshot.snapshot_id]

    garbage: set[str] = set()
    kept = [place for place, item in enumerate(history) if item.snapshot_id not in gone]
    for left, right in pairwise([-1, *kept]):
        between = history[left + 1 : right]
        if not between:
            continue
        needed = manifests(history[right])
        if left >= 0:
            needed = needed | manifests(history[left])
        for snapshot in between:
            garbage.add(snapshot.manifest_list)
            garbage |= manifests(snapshot) - needed
    return garbage

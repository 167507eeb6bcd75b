"""What the ledger says about itself. The figures add up, and the program shows that they do."""

from __future__ import annotations

import msgspec


class BudgetStats(msgspec.Struct, frozen=True):
    """What this process's admission has done since its start."""

    holding: int = 0
    """Calls under way that hold a part of a budget."""
    denied: int = 0
    """Calls refused because a budget or a limit of a key was used up."""
    overdrawn: int = 0
    """Calls let through because the database could not be asked."""
    unanswered: int = 0
    """Rounds of the database that failed."""


class ContentStats(msgspec.Struct, frozen=True):
    """What this process has done with prompts and answers that were to be kept, since its start."""

    kept: int = 0
    """Calls whose content is in the database (or was nobody's to keep any more)."""
    dropped: int = 0
    """Calls whose content is lost: no room while the database was away, or no time at the end."""
    failed: int = 0
    """Calls whose content nothing could be made of."""
    waiting: int = 0
    """Calls whose content is on its way."""


class JobStats(msgspec.Struct, frozen=True):
    """What the leader's jobs have done in this process, since its start."""

    leads: bool = False
    runs: int = 0
    failures: int = 0
    """Of those."""
    overdue: int = 0
    """Of these, because they took longer than they may."""


class LedgerStats(msgspec.Struct, frozen=True):
    """Figures of this process since its start; ``accepted == recorded + in_flight + spooled + dead_letters + lost``."""

    accepted: int = 0
    """Calls opened, and calls closed without having been opened (refusals)."""
    recorded: int = 0
    """Of those, in the database (written by us or found there)."""
    in_flight: int = 0
    """Opened and not yet closed."""
    spooled: int = 0
    """Closed and not yet in the database."""
    dead_letters: int = 0
    """Closed, but the database takes no row of them; kept aside there."""
    lost: int = 0
    """Closed while neither disk nor memory could hold them, or unreadable on the spool."""
    duplicates: int = 0
    """Rows that were in the database already (a replay, or a call closed twice); counted once there."""
    replayed: int = 0
    """Rows written from spools of dead processes."""
    interrupted: int = 0
    """Of those, calls that had died in mid-flight."""
    replay_dead_letters: int = 0
    replaying: int = 0
    """Spools of dead processes still being read."""
    refused: int = 0
    """Calls turned away because they could not be spooled."""
    torn: int = 0
    """Unfinished writes found at the end of a spool file."""
    damaged: int = 0
    """Unreadable stretches of spool files, kept in its ``damaged`` folder."""
    slimmed: int = 0
    """Spool segments whose records gave up their detail to make room."""
    write_failures: int = 0
    """Appends the disk refused."""
    sync_failures: int = 0
    outages: int = 0
    """Times a batch or a connection failed for the database's sake."""
    batches: int = 0
    spool_bytes: int = 0
    oldest_age_s: float = 0.0
    """Age of the oldest closed record the database lacks, in seconds; 0 when there is none."""
    degraded: bool = False
    """The promises are kept, but not for ever: see ``reasons``."""
    reasons: tuple[str, ...] = ()

    @property
    def balance(self) -> int:
        """Accepted calls that are nowhere: always 0."""
        known = self.recorded + self.in_flight + self.spooled + self.dead_letters + self.lost
        return self.accepted - known

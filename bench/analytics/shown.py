"""What the bench says, and whether the bars were kept."""

from __future__ import annotations

import os

import msgspec
from rich.console import Console
from rich.table import Table

from bench.analytics.ingest import Ingest
from bench.analytics.served import Timed
from storage.rollups.verify import Verified

MOST_MS = 200.0
MOST_ROWS = 0.02
ROWS_FROM = 5_000_000
"""Calls from which on the share of rows is judged: there are as many groups and users where few calls are made."""
MOST_RATIO = 1.5


class Verdict(msgspec.Struct):
    """Shows what was measured, and remembers what was missed."""

    console: Console
    missed: list[str] = []

    def ingest(self, ratios: list[Ingest]) -> None:
        """What rollups cost the writer."""
        for one in ratios:
            self.console.print(
                f"writing, batches of {one.batch}: {one.without:.1f} us a record without rollups, {one.with_:.1f} with"
                f" (x{one.ratio:.2f}, bar x{MOST_RATIO}); of it our CPU {one.cpu_without:.1f} and {one.cpu_with:.1f}"
            )
            self._judge(one.ratio <= MOST_RATIO, f"writing in batches of {one.batch}")

    def rows(self, rows: dict[str, int], calls: int) -> None:
        """How many rows the sums take."""
        share = sum(rows.values()) / calls
        parts = ", ".join(f"{name} {number:,} ({number / calls:.2%})" for name, number in rows.items())
        self.console.print(f"rows of sums: {share:.2%} of the calls (bar {MOST_ROWS:.0%}): {parts}")
        self._judge(share <= MOST_ROWS or calls < ROWS_FROM, "rows of sums")

    def verified(self, when: str, found: Verified, calls: int | None, seconds: float) -> None:
        """``calls``: how many there are, if that is known."""
        self.console.print(
            f"verified {when}: {found.calls:,} calls of {found.days} days in {seconds:,.0f} s:"
            f" {len(found.differences)} differences"
        )
        right = not found.differences and found.calls > 0 and calls in (None, found.calls)
        self._judge(right, f"verify {when}")

    def endpoints(self, timed: list[Timed]) -> None:
        """How long answers took."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title in ("/api/analytics", "CPU ms", "P50 ms", "P95 ms", f"BAR {MOST_MS:.0f} ms", "SLOWEST"):
            table.add_column(title, justify="right" if " ms" in title else "left", overflow="fold")
        for one in timed:
            kept = one.percentile(95) <= MOST_MS
            if one.judged:
                self._judge(kept, one.path or "overview")
            table.add_row(
                one.path or "(overview)",
                f"{one.cpu:.0f}",
                f"{one.percentile(50):.0f}",
                f"{one.percentile(95):.0f}",
                "reads calls" if not one.judged else "kept" if kept else "[bold red]missed[/]",
                f"{max(one.took):.0f} ms: {one.slowest}",
            )
        self.console.print(table)
        self.console.print(
            f"machine: {os.cpu_count()} cores, {os.getloadavg()[0]:.1f} processes at work on average"
        )

    def _judge(self, kept: bool, what: str) -> None:
        if not kept:
            self.missed.append(what)

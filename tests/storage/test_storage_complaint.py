"""An outage in the log: a few lines, however often it fails."""

from __future__ import annotations

import logging

import pytest

from storage.complaint import REMIND_S, STEADY_S, Complaint


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def complaint(clock: Clock, caplog: pytest.LogCaptureFixture) -> Complaint:
    caplog.set_level(logging.INFO)
    return Complaint(logging.getLogger("x"), "it fails", "it works again", clock)


def test_a_disk_that_takes_a_row_now_and_then_is_one_outage(
    complaint: Complaint, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(STEADY_S * 100)):
        complaint.suffer("full")
        clock.now += 0.1
        complaint.well()
    assert caplog.messages == ["it fails: full"]
    clock.now += STEADY_S
    complaint.well()
    complaint.well()
    assert caplog.messages[1:] == ["it works again: the trouble lasted 50 s"]


def test_each_reason_is_told_and_one_that_lasts_again(
    complaint: Complaint, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for reason in ("refused", "refused", "locked"):
        complaint.suffer(reason)
    clock.now += REMIND_S
    complaint.suffer("locked")
    assert caplog.messages == ["it fails: refused", "it fails: locked", "it fails: locked"]


def test_the_next_outage_is_told_whatever_was_told_before(
    complaint: Complaint, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    complaint.suffer("refused")
    clock.now += STEADY_S
    complaint.well()
    complaint.suffer("refused")
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO", "WARNING"]


def test_what_never_failed_says_nothing(complaint: Complaint, caplog: pytest.LogCaptureFixture) -> None:
    complaint.well()
    assert caplog.messages == []

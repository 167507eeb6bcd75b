"""The leader's jobs for alerts: not at the start, waiting while the database is away, with the settings as they are."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alerts.facts import NOON
from alerts.messages import SECRET, message
from alerts.office import Office, hook
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.alerting.jobs import alert_jobs
from gateway.alerting.plan import AlertPlan, plan_of
from gateway.app import Gateway
from gateway.jobs import Job
from gateway.settings import Settings, SettingsError, load
from storage.address import Address, parse
from storage.alerts.outbox import WAITING
from storage.migrate import migrate


class Clock:
    """Aware times, moved by the test."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def address(tmp_path: Path) -> Address:
    found = parse(None, tmp_path)
    await asyncio.to_thread(migrate, found)
    return found


def jobs(plan: AlertPlan, address: Address, folder: Path, clock: Clock) -> dict[str, Job]:
    return {job.name: job for job in alert_jobs(lambda: plan, address, folder / "spool", clock)}


async def test_the_jobs_do_their_work_but_not_at_the_start(address: Address, tmp_path: Path) -> None:
    async with ScriptedUpstream(default=reply(200)) as receiver:
        plan, clock = AlertPlan((hook(receiver.base),)), Clock()
        found = jobs(plan, address, tmp_path, clock)
        assert list(found) == ["alerts", "alert-deliveries", "alert-tidying"]
        office = Office(f"sqlite:///{address.dsn}", tmp_path, [])
        await office.outbox.put_one(message(), plan.posts[0], NOON)
        deliver = found["alert-deliveries"]
        assert await deliver.run() is None
        assert receiver.requests == []
        assert await deliver.run() == "1 messages sent"
        assert await deliver.run() is None
        await office.outbox.put_one(message(alert="b"), hook("http://h:1", "gone"), NOON)
        clock.now += WAITING + timedelta(seconds=1)
        for expected in (None, "1 messages given up, 0 old alerts forgotten", None):
            assert await found["alert-tidying"].run() == expected
        await office.close()


async def test_they_wait_while_the_database_is_away_and_say_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address, clock = parse(None, tmp_path / "later"), Clock()
    found = jobs(AlertPlan((hook("http://h:1"),)), address, tmp_path, clock)
    for _ in range(3):
        for job in found.values():
            assert await job.run() is None
    assert caplog.text.count("alerts wait: ") == 1
    (tmp_path / "later").mkdir()
    await asyncio.to_thread(migrate, address)
    for _ in range(2):
        await found["alerts"].run()
    assert caplog.text.count("alerts go on") == 1


def settings(folder: Path, text: str) -> Settings:
    (folder / "weighbridge.toml").write_text(f'[storage]\ndata_dir = "{folder / "data"}"\n{text}')
    return load(folder / "weighbridge.toml")


async def test_a_reload_takes_alerts_over_or_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    gateway = Gateway(settings(tmp_path, "[server]\nport = 0\n"))
    await gateway.start()
    try:
        channel = '[alerts.channels.ops]\nkind = "webhook"\nurl = "https://h"\nsecret_env = "HOOK"\n'
        new = settings(tmp_path, f"[server]\nport = 0\n{channel}")
        assert gateway.adopt(new).waits.names == ()
        assert [post.name for post in gateway.alerts.posts] == ["ops"]
        broken = settings(tmp_path, f"[server]\nport = 0\n{channel}colour = 'red'\n")
        with pytest.raises(SettingsError, match=r"alerts\.channels\.ops\.colour"):
            gateway.adopt(broken)
        assert gateway.settings == new
        assert gateway.alerts == plan_of(new)
    finally:
        await gateway.stop(drain_seconds=0)

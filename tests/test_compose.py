"""The compose file against the settings it names: there is no container engine to run it on."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.settings import Settings, load
from gateway.settings.lint import lint
from storage.address import Engine, parse

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
COLLECTOR: dict[str, Any] = yaml.safe_load((ROOT / "deploy/collector.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The gateway's environment, put into ours; ``${NAME:-default}`` becomes its default."""
    monkeypatch.chdir(tmp_path)
    given = {
        name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
        for name, value in SERVICES["gateway"]["environment"].items()
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return load()


def test_every_variable_is_a_setting_that_takes_the_value(
    environment: dict[str, str], settings: Settings
) -> None:
    assert environment[settings.auth.admin_token_env] == ""
    for name in environment:
        if name != settings.auth.admin_token_env:
            section, key = name.removeprefix("WEIGHBRIDGE_").lower().split("__")
            assert key in getattr(settings, section).model_fields_set, name


def test_check_finds_nothing_but_the_token_and_password_to_choose(
    environment: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    here = settings.model_copy(update={"storage": settings.storage.model_copy(update={"data_dir": tmp_path})})
    assert [problem.key for problem in lint(here, environment)] == ["auth.admin_token_env"]


def test_the_published_port_is_the_one_that_is_listened_on(settings: Settings) -> None:
    assert not settings.server.loopback
    (published,) = SERVICES["gateway"]["ports"]
    assert published == f"127.0.0.1:8707:{settings.server.port}"
    assert f"http://127.0.0.1:{settings.server.port}/healthz" in " ".join(
        SERVICES["gateway"]["healthcheck"]["test"]
    )
    assert f"EXPOSE {settings.server.port}\n" in DOCKERFILE


def test_the_database_is_the_one_that_is_started(settings: Settings) -> None:
    address = parse(settings.storage.url, settings.storage.data_dir)
    postgres = SERVICES["postgres"]["environment"]
    assert address.engine is Engine.POSTGRESQL
    assert address.dsn == (
        f"postgresql://{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}@postgres:5432/"
        f"{postgres['POSTGRES_DB']}"
    )
    assert SERVICES["gateway"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "healthcheck" in SERVICES["postgres"]


def test_the_collector_listens_where_the_gateway_sends(settings: Settings) -> None:
    port = COLLECTOR["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert settings.telemetry.endpoint == f"http://collector:{port}"
    pipelines = COLLECTOR["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics"}
    for pipeline in pipelines.values():
        assert set(pipeline["receivers"]) <= set(COLLECTOR["receivers"])
        assert set(pipeline["processors"]) <= set(COLLECTOR["processors"])
        assert set(pipeline["exporters"]) <= set(COLLECTOR["exporters"])
    assert COLLECTOR["exporters"]["otlp/jaeger"]["endpoint"].partition(":")[0] in SERVICES


def test_files_volumes_and_services_that_are_named_exist(settings: Settings) -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
        assert set(service.get("depends_on", [])) <= set(SERVICES)
    assert (ROOT / SERVICES["gateway"]["build"]["dockerfile"]).is_file()
    assert f"spool:{settings.storage.data_dir}" in SERVICES["gateway"]["volumes"]


def test_the_records_folder_survives_the_container_and_calls_may_finish(settings: Settings) -> None:
    assert f"VOLUME {settings.storage.data_dir}\n" in DOCKERFILE
    grace = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.server.drain_seconds


def test_the_image_holds_every_package_and_starts_the_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]:
        package = pattern.removesuffix("*")
        assert f"COPY {package} {package}\n" in DOCKERFILE
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY "):
            for source in shlex.split(line)[1:-1]:
                assert (ROOT / source).exists(), source
    assert 'ENTRYPOINT ["weighbridge"]' in DOCKERFILE
    assert SERVICES["gateway"]["command"] == ["serve"]
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)


def test_the_image_alone_listens_and_keeps_records_where_the_volume_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in re.findall(r"(WEIGHBRIDGE_\w+)=(\S+)", DOCKERFILE):
        monkeypatch.setenv(name, value)
    image = load()
    assert not image.server.loopback
    assert f"VOLUME {image.storage.data_dir}\n" in DOCKERFILE
    assert f"http://127.0.0.1:{image.server.port}/healthz" in DOCKERFILE


def test_what_the_image_needs_is_sent_to_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [
        part for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for part in line.split()[:-1]
    ]
    assert copied
    assert not set(copied) & set(ignored)


def test_it_says_that_it_was_not_run() -> None:
    assert "not run on a container engine" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

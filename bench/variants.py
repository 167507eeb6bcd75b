"""What is compared: no proxy at all, nginx, the naive proxy, and the gateway without and with telemetry."""

from __future__ import annotations

import enum
import sys
from pathlib import Path

import msgspec

from bench.machine import PROXY_CORE, Machine, free_port

NGINX_CONFIG = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log error;
worker_rlimit_nofile 65536;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-f;
    uwsgi_temp_path {folder}/nginx-u;
    scgi_temp_path {folder}/nginx-s;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_buffer_size 64k;
    upstream provider {{
        server 127.0.0.1:{upstream};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen 127.0.0.1:{stream_port} backlog=4096;
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

GATEWAY_CONFIG = """
[server]
port = {port}

[storage]
data_dir = "{data}"

[providers.openai]
base_url = "http://127.0.0.1:{upstream}"
"""

TELEMETRY_CONFIG = """
[telemetry]
endpoint = "http://127.0.0.1:{upstream}"
"""


class Variant(enum.StrEnum):
    """The contestants."""

    DIRECT = "direct"
    NGINX = "nginx"
    NAIVE = "naive"
    GATEWAY = "gateway"
    GATEWAY_OTEL = "gateway+otel"


class Running(msgspec.Struct, frozen=True):
    """A contestant that is up. ``pid`` 0: there is no process to measure."""

    variant: Variant
    pid: int
    port: int
    stream_port: int
    path: str = "/v1/chat/completions"
    data: Path | None = None
    """Where the gateway keeps its records."""


def start(variant: Variant, machine: Machine, upstream: int) -> Running:
    """Starts one contestant in front of the upstream."""
    if variant is Variant.DIRECT:
        return Running(variant, 0, upstream, upstream)
    if variant is Variant.NGINX:
        return _nginx(machine, upstream)
    port = free_port()
    if variant is Variant.NAIVE:
        command = [sys.executable, "-m", "bench.naive", str(port), f"http://127.0.0.1:{upstream}"]
        process = machine.start("naive", command, PROXY_CORE)
        machine.until_listening("naive", process, port)
        return Running(variant, process.pid, port, port)
    return _gateway(variant, machine, upstream, port)


def _nginx(machine: Machine, upstream: int) -> Running:
    port, stream_port = free_port(), free_port()
    config = machine.folder / "nginx.conf"
    config.write_text(
        NGINX_CONFIG.format(folder=machine.folder, upstream=upstream, port=port, stream_port=stream_port)
    )
    process = machine.start("nginx", ["nginx", "-p", str(machine.folder), "-c", str(config)], PROXY_CORE)
    machine.until_listening("nginx", process, stream_port)
    return Running(Variant.NGINX, process.pid, port, stream_port)


def _gateway(variant: Variant, machine: Machine, upstream: int, port: int) -> Running:
    name = variant.value
    data = machine.folder / f"{name}-data"
    text = GATEWAY_CONFIG.format(port=port, data=data, upstream=upstream)
    if variant is Variant.GATEWAY_OTEL:
        text += TELEMETRY_CONFIG.format(upstream=upstream)
    config = machine.folder / f"{name}.toml"
    config.write_text(text)
    process = machine.start(
        name, [sys.executable, "-m", "gateway", "serve", "--config", str(config)], PROXY_CORE
    )
    machine.until_listening(name, process, port)
    return Running(variant, process.pid, port, port, "/openai/v1/chat/completions", data)

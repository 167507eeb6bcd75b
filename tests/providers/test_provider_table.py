"""Which host a request path reaches, and that the path gets there unchanged."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, Refusal
from gateway.providers.contract import Provider, WireRule
from gateway.providers.paths import climbs
from gateway.providers.registry import PROVIDERS, wire_for
from gateway.providers.table import RESERVED, ProviderTable
from gateway.settings import Settings, SettingsError
from gateway.settings.choices import StreamUsage
from gateway.wire.registry import WIRES

TABLE = ProviderTable.build(Settings(), {})


def table(environ: dict[str, str] | None = None, **sections: Any) -> ProviderTable:
    return ProviderTable.build(Settings(**sections), environ or {})


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        (b"/openai/v1/chat/completions", "api.openai.com", "/v1/chat/completions", ""),
        (b"/openai//v1/files/a%2Fb/?x=%20&x", "api.openai.com", "//v1/files/a%2Fb/", "x=%20&x"),
        (b"/openai", "api.openai.com", "/", ""),
        (b"/huggingface/", "router.huggingface.co", "/", ""),
        (b"/groq/openai/v1/models", "api.groq.com", "/openai/v1/models", ""),
        (b"/anthropic/v1/messages?beta=true", "api.anthropic.com", "/v1/messages", "beta=true"),
        (b"/v1/messages", "api.anthropic.com", "/v1/messages", ""),
        (b"/v1/messages/count_tokens", "api.anthropic.com", "/v1/messages/count_tokens", ""),
        (b"/v1/complete", "api.anthropic.com", "/v1/complete", ""),
        (b"/v1/completions", "api.openai.com", "/v1/completions", ""),
        (b"/v1/messagesx", "api.openai.com", "/v1/messagesx", ""),
        (b"/v1/chat/completions", "api.openai.com", "/v1/chat/completions", ""),
        (b"/v1beta/models/m:generateContent?key=k", "generativelanguage.googleapis.com",
         "/v1beta/models/m:generateContent", "key=k"),
        (b"/v1/projects/p/locations/global/x", "aiplatform.googleapis.com", "/v1/projects/p/locations/global/x",
         ""),
        (b"/v1beta1/publishers/google/models/m:x?key=k", "aiplatform.googleapis.com",
         "/v1beta1/publishers/google/models/m:x", "key=k"),
        (b"/ollama/api/chat", "127.0.0.1:11434", "/api/chat", ""),
        (b"/openai/a/../b", "api.openai.com", "/a/../b", ""),
        (b"/openai/v1/..%2fx", "api.openai.com", "/v1/..%2fx", ""),
    ],
)  # fmt: skip
def test_paths_reach_their_provider_unchanged(target: bytes, host: str, path: str, query: str) -> None:
    place = TABLE.resolve(target)
    assert (place.origin.authority, place.path, place.query) == (host, path, query)


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        (b"/opnai/v1/models", 404, Code.UNKNOWN_PROVIDER),
        (b"/", 404, Code.UNKNOWN_PROVIDER),
        (b"//api.openai.com/v1", 404, Code.UNKNOWN_PROVIDER),
        (b"/%6fpenai/v1", 404, Code.UNKNOWN_PROVIDER),
        (b"/api/chat", 404, Code.UNKNOWN_PROVIDER),
        (b"/v2/chat", 404, Code.UNKNOWN_PROVIDER),
        (b"/\xff\xfe", 404, Code.UNKNOWN_PROVIDER),
        (b"/azure/openai/v1", 404, Code.PROVIDER_NOT_CONFIGURED),
        (b"/model/x/converse", 404, Code.PROVIDER_NOT_CONFIGURED),
        (b"http://evil.example/v1", 400, Code.BAD_PATH),
        (b"*", 400, Code.BAD_PATH),
        (b"", 400, Code.BAD_PATH),
        (b"/openai/v1/a b", 400, Code.BAD_PATH),
        (b"/openai/v1/a\r\nHost: evil", 400, Code.BAD_PATH),
        (b"/openai/../admin", 400, Code.BAD_PATH),
        (b"/openai/v1/../../admin", 400, Code.BAD_PATH),
        (b"/openai/v1/%2e%2E/%2e./x", 400, Code.BAD_PATH),
        (b"/openai/v1/%252e%252e/%252e%252e/x", 400, Code.BAD_PATH),
        (b"/openai/..;a=b/x", 400, Code.BAD_PATH),
        (b"/openai/..%5cx", 400, Code.BAD_PATH),
        (b"/openai/..\\x", 400, Code.BAD_PATH),
        (b"/openai/v1//../../x", 400, Code.BAD_PATH),
        (b"/v1/../../x", 400, Code.BAD_PATH),
    ],
)
def test_paths_that_go_nowhere(target: bytes, status: int, code: Code) -> None:
    with pytest.raises(Refusal) as caught:
        TABLE.resolve(target)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 400


def test_an_unknown_provider_is_told_what_is_meant() -> None:
    with pytest.raises(Refusal, match="Did you mean openai"):
        TABLE.resolve(b"/opnai/v1/models")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            b"//openai/v1/models",
            "names no provider. Paths begin with the provider's name (/openai/v1/...); a second",
        ),
        (b"/\xff\xfe", "This path begins with no provider's name. Paths begin"),
        (
            b"/chat/completions",
            "No provider is called 'chat'. Paths begin with the provider's name (/openai/v1/...)",
        ),
    ],
)
def test_a_base_url_that_is_not_quite_right_is_told_how_it_should_be(target: bytes, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        ProviderTable.build(Settings()).resolve(target)
    assert said in refused.value.message


@given(st.binary(max_size=60))
def test_any_target_is_resolved_or_refused_and_keeps_its_bytes(tail: bytes) -> None:
    target = b"/openai/" + tail
    try:
        place = TABLE.resolve(target)
    except Refusal:
        return
    sent = place.path + ("?" + place.query if b"?" in target else "")
    assert b"/openai" + sent.encode("latin-1") == target
    assert place.origin.host == "api.openai.com"


_PIECES = st.sampled_from(["/", "..", ".", "a", "%2e", "%2E", "%2f", "%5c", "\\", ";x", "%252e", "//"])


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_what_is_let_through_stays_inside_for_a_normalising_server(path: str) -> None:
    if climbs(path):
        return
    decoded = path
    for _ in range(4):
        depth = 0
        for segment in decoded.split("/"):
            depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
            assert depth >= 0, decoded
        decoded = re.sub("%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), decoded)


def test_a_section_with_only_a_base_url_is_a_pass_through() -> None:
    place = table(providers={"house": {"base_url": "http://10.0.0.5:8000/llm/"}}).resolve(b"/house/v1/x")
    assert (place.origin.host, place.origin.port, place.origin.tls) == ("10.0.0.5", 8000, False)
    assert place.path == "/llm/v1/x"
    provider = place.destination.provider
    assert (provider.name, provider.price_as, provider.otel_name) == ("house", "house", "house")


def test_a_kind_lends_its_rules_key_header_and_prices() -> None:
    built = table(providers={"claude-eu": {"base_url": "https://eu.example", "kind": "anthropic"}})
    provider = built.resolve(b"/claude-eu/v1/messages").destination.provider
    assert provider.credential.header == "x-api-key"
    assert (provider.price_as, provider.otel_name, provider.sdk_base) == (
        "anthropic",
        "anthropic",
        "/claude-eu",
    )
    assert built.resolve(b"/v1/messages").origin.host == "api.anthropic.com"


def test_settings_override_a_known_provider() -> None:
    built = table(
        {"K": "sk-1"},
        providers={
            "openai": {
                "base_url": "https://proxy.example:8443/openai",
                "price_as": "azure",
                "api_key_env": "K",
                "stream_usage": "never",
                "header_timeout": 2.5,
            }
        },
        timeouts={"idle": 7},
    )
    destination = built.resolve(b"/openai/v1/models").destination
    assert built.resolve(b"/v1/models").origin.authority == "proxy.example:8443"
    assert built.resolve(b"/openai/v1/models").path == "/openai/v1/models"
    assert destination.provider.price_as == "azure"
    assert destination.key is not None
    assert destination.key.get_secret_value() == "sk-1"
    assert "sk-1" not in repr(destination)
    assert destination.stream_usage is StreamUsage.NEVER
    assert (destination.header_timeout, destination.idle_timeout, destination.connect_timeout) == (2.5, 7, 10)


def test_the_usual_variable_of_a_key_is_not_read_unless_the_settings_say_so() -> None:
    assert table({"OPENAI_API_KEY": "sk-1"}).resolve(b"/openai/v1").destination.key is None


def test_the_default_provider_takes_bare_paths() -> None:
    built = table(providers={"house": {"base_url": "http://10.0.0.5/x"}}, proxy={"default_provider": "house"})
    assert built.resolve(b"/v1/chat/completions").path == "/x/v1/chat/completions"
    assert built.resolve(b"/v1/messages").origin.host == "api.anthropic.com"


def test_one_replay_server_may_stand_in_for_all() -> None:
    built = table(providers={name: {"base_url": "http://127.0.0.1:21000"} for name in PROVIDERS})
    for name in PROVIDERS:
        place = built.resolve(f"/{name}/v1/x".encode())
        assert (place.origin.authority, place.path) == ("127.0.0.1:21000", "/v1/x")
        assert place.destination.provider.name == name


@pytest.mark.parametrize(
    ("sections", "key", "hint"),
    [
        ({"providers": {"opnai": {"api_key_env": "K"}}}, "providers.opnai.base_url", "Did you mean openai?"),
        (
            {"providers": {"x": {"base_url": "http://x", "kind": "antropic"}}},
            "providers.x.kind",
            "anthropic?",
        ),
        ({"providers": {"api": {"base_url": "http://x"}}}, "providers.api", "another name"),
        ({"proxy": {"default_provider": "opena"}}, "proxy.default_provider", "Did you mean openai?"),
    ],
)
def test_sections_that_make_no_provider(sections: dict[str, Any], key: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        table(**sections)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert hint in problem.how


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_provider_file_is_sound(name: str) -> None:
    provider = PROVIDERS[name]
    assert name not in RESERVED
    assert provider.title
    assert provider.otel_name
    assert provider.price_as
    assert provider.credential.header == provider.credential.header.lower()
    assert provider.sdk_base.startswith(f"/{name}")
    if provider.base_url is not None:
        assert (
            Settings(providers={name: {"base_url": provider.base_url}}).providers[name].base_url
            == provider.base_url
        )
        assert not re.search(r"/v\d", provider.base_url), (
            "paths are passed as is: the version belongs to them"
        )


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_rule_names_a_wire_there_is(name: str) -> None:
    for rule in PROVIDERS[name].rules:
        assert rule.wire is None or WIRES.get(rule.wire).name == rule.wire


@pytest.mark.parametrize(
    ("name", "path", "wire"),
    [
        ("openai", "/v1/chat/completions", "openai_chat"),
        ("openai", "/v1/responses", "openai_responses"),
        ("anthropic", "/v1/messages", "anthropic_messages"),
        ("gemini", "/v1beta/models/m:generateContent", "gemini_generate"),
        ("gemini", "/v1beta/openai/chat/completions", "openai_chat"),
        ("azure", "/openai/deployments/d/chat/completions", "openai_chat"),
        ("groq", "/openai/v1/chat/completions", "openai_chat"),
        ("openrouter", "/api/v1/chat/completions", "openai_chat"),
        ("perplexity", "/chat/completions", "openai_chat"),
        ("fireworks", "/inference/v1/chat/completions", "openai_chat"),
        ("writer", "/v1/chat", "openai_chat"),
        ("cohere", "/v1/chat", "cohere_chat"),
        ("huggingface", "/", "huggingface"),
        ("huggingface", "/models/gpt2", "huggingface"),
        ("huggingface", "/v1/chat/completions", "openai_chat"),
        ("huggingface", "/novita/chat/completions", "openai_chat"),
        ("huggingface", "/zai-org/api/paas/v4/chat/completions", "openai_chat"),
        ("huggingface", "/scaleway/embeddings", "openai_embeddings"),
        ("huggingface", "/hf-inference/models/a/b/pipeline/feature-extraction", "huggingface"),
        ("mistral", "/v1/agents/completions", "openai_chat"),
        ("mistral", "/v1/fim/completions", "openai_completions"),
        ("watsonx", "/ml/v1/text/embeddings", "watsonx_embed"),
        ("gemini", "/v1beta/fileSearchStores", "control"),
        ("gemini", "/v1beta/batches/b1", "gemini_batches"),
        ("gemini", "/v1beta/batches/b1:cancel", "gemini_batches"),
        ("gemini", "/v1beta/openai/batches/b1", "openai_batches"),
        ("openai", "/v1/batches/b1", "openai_batches"),
        ("openai", "/v1/edits", "openai_completions"),
        ("openai", "/v1/images/edits", "openai_images"),
        ("openai", "/v1/videos/edits", None),
        ("azure", "/openai/v1/videos/edits", None),
        ("bedrock", "/agents/A/", "control"),
        ("gemini", "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore", None),
        ("gemini", "/v1beta/fileSearchStores/s:importFile", None),
        ("aleph_alpha", "/complete", "aleph_alpha"),
        ("ollama", "/api/chat", "ollama_chat"),
        ("openai", "/v1/unheard/of", None),
    ],
)
def test_the_wire_of_a_path(name: str, path: str, wire: str | None) -> None:
    found = wire_for(PROVIDERS[name], "POST", path, WIRES)
    assert (found.name if found is not None else None) == wire


def test_a_kind_is_told_to_the_readers() -> None:
    built = table(
        providers={"mine": {"base_url": "http://x", "kind": "openrouter"}, "own": {"base_url": "http://x"}}
    )
    names = {name: built.destinations[name].provider.canonical for name in ("mine", "own", "openrouter")}
    assert names == {"mine": "openrouter", "own": "own", "openrouter": "openrouter"}


def test_streams_that_report_unasked_are_left_alone_unless_the_settings_say_so() -> None:
    built = table(providers={"groq": {"stream_usage": "inject"}})
    chosen = {name: built.destinations[name].stream_usage for name in ("openai", "mistral", "groq")}
    assert chosen == {"openai": StreamUsage.INJECT, "mistral": StreamUsage.NEVER, "groq": StreamUsage.INJECT}


def test_rules_go_before_recognition() -> None:
    class Wires:
        def find(self, method: str, path: str) -> Any:
            return "found"

        def get(self, name: str) -> Any:
            return name

    rules = (WireRule(re.compile("^/a$"), "special"), WireRule(re.compile("^/b"), None))
    provider = Provider("x", "x", "x", "x", None, rules=rules)
    wires = Wires()
    assert [wire_for(provider, "POST", path, wires) for path in ("/a", "/b/c", "/c")] == [
        "special",
        None,
        "found",
    ]


def test_inline_agents_of_bedrock_have_the_path_that_others_make_agents_with() -> None:
    named = {
        (provider, path): wire_for(PROVIDERS[provider], "POST", path, WIRES)
        for provider, path in (
            ("bedrock", "/agents/s-1"),
            ("bedrock", "/agents/A/agentAliases/B/sessions/s-1/text"),
            ("anthropic", "/v1/agents/a-1"),
            ("mistral", "/v1/agents/a-1"),
        )
    }
    assert [wire.name if wire is not None else None for wire in named.values()] == [
        "bedrock_agent",
        "bedrock_agent",
        "control",
        "control",
    ]
    inline = named["bedrock", "/agents/s-1"]
    assert inline is not None
    asked = inline.read_ask("/agents/s-1", "", b'{"foundationModel":"amazon.nova-pro-v1:0","inputText":"x"}')
    assert (asked.model, asked.session, asked.stream) == ("amazon.nova-pro-v1:0", "s-1", True)

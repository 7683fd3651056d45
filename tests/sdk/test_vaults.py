"""Vaults and credentials, as the official SDK sees them."""

import openai
import pytest

SECRET = "sk-sdk-secret-0123456789"


@pytest.fixture
def vaults(client):
    return client.beta.agents.vaults


def test_vaults_are_made_listed_changed_and_deleted(vaults):
    vault = vaults.create(name=" Providers ", metadata={"team": "sdk"})
    assert (vault.object, vault.name, vault.metadata) == ("vault", "Providers", {"team": "sdk"})
    assert vaults.retrieve(vault.id).id == vault.id
    assert vault.id in [one.id for one in vaults.list(metadata={"team": "sdk"}, status="active")]
    assert vault.id in [one.id for one in vaults.list(status=["active", "archived"])]
    assert list(vaults.list(status="archived")) == []
    changed = vaults.update(vault.id, name=None, metadata={})
    assert (changed.name, changed.metadata) == (None, {})
    gone = vaults.delete(vault.id)
    assert (gone.id, gone.deleted, gone.object) == (vault.id, True, "vault.deleted")
    with pytest.raises(openai.NotFoundError):
        vaults.retrieve(vault.id)


AUTHS = [
    {"type": "static_bearer", "token": SECRET, "mcp_server_url": "https://mcp.example/sse"},
    {
        "type": "mcp_oauth",
        "access_token": SECRET,
        "mcp_server_url": "https://mcp.example/sse",
        "expires_at": "2030-01-02T03:04:05Z",
        "refresh": {
            "client_id": "us",
            "refresh_token": SECRET + "-refresh",
            "token_endpoint": "https://auth.example/token",
            "token_endpoint_auth": {"type": "client_secret_basic", "client_secret": SECRET + "-client"},
            "scope": "read write",
        },
    },
    {
        "type": "environment_variable",
        "secret_name": "SERVICE_API_KEY",
        "secret_value": SECRET,
        "networking": {"type": "limited", "allowed_hosts": ["API.example"]},
    },
]
ROTATIONS = [
    {"type": "static_bearer", "token": SECRET + "2"},
    {"type": "mcp_oauth", "access_token": SECRET + "2", "refresh": {"scope": None}},
    {"type": "environment_variable", "secret_value": SECRET + "2"},
]


@pytest.mark.parametrize("auth,rotation", list(zip(AUTHS, ROTATIONS)), ids=lambda auth: auth["type"])
def test_credentials_take_secrets_and_never_show_them(vaults, auth, rotation):
    vault = vaults.create(name="One")
    made = vaults.credentials.create(vault.id, name="key", auth=auth, metadata={"a": "b"})
    assert (made.object, made.vault_id, made.name, made.auth.type) == ("vault.credential", vault.id, "key", auth["type"])
    if made.auth.type == "mcp_oauth":
        assert made.auth.expires_at.startswith("2030-01-02T03:04:05")
        assert made.auth.refresh.token_endpoint_auth.type == "client_secret_basic"
    if made.auth.type == "environment_variable":
        assert made.auth.networking.allowed_hosts == ["api.example"]
    changed = vaults.credentials.update(made.id, vault_id=vault.id, auth=rotation, metadata={})
    assert (changed.id, changed.metadata) == (made.id, {})
    if made.auth.type == "mcp_oauth":
        assert (changed.auth.expires_at, changed.auth.refresh.scope) == (None, None)
    listed = list(vaults.credentials.list(vault.id))
    assert [one.id for one in listed] == [made.id]
    for shown in [made, changed, *listed, vaults.credentials.retrieve(made.id, vault_id=vault.id)]:
        assert SECRET not in shown.model_dump_json()
    gone = vaults.credentials.delete(made.id, vault_id=vault.id)
    assert (gone.deleted, gone.object) == (True, "vault.credential.deleted")


def test_what_cannot_be_kept_names_its_field(vaults):
    vault = vaults.create()
    wrong = [
        ({"type": "static_bearer", "token": SECRET, "mcp_server_url": "http://mcp.example"}, "auth.mcp_server_url"),
        ({"type": "static_bearer", "token": "two words", "mcp_server_url": "https://mcp.example"}, "auth.token"),
        ({**AUTHS[2], "secret_name": "CODEX_KEY"}, "auth.secret_name"),
        ({**AUTHS[2], "secret_value": "a\nb"}, "auth.secret_value"),
        ({**AUTHS[2], "networking": {"type": "limited", "allowed_hosts": ["*.example"]}}, "auth.networking.allowed_hosts"),
        ({**AUTHS[1], "expires_at": "tomorrow"}, "auth.expires_at"),
    ]
    for auth, field in wrong:
        with pytest.raises(openai.BadRequestError) as refused:
            vaults.credentials.create(vault.id, name="key", auth=auth)
        assert refused.value.param == field
        assert SECRET not in str(refused.value)
    with pytest.raises(openai.BadRequestError) as name:
        vaults.credentials.create(vault.id, name=" ", auth=AUTHS[0])
    assert name.value.param == "name"


def test_a_session_names_vaults_that_may_be_used(client, vaults):
    vault = vaults.create(name="For a session")
    session = client.beta.agents.sessions.create(
        agent={"model": "main"}, environment={"type": "none"}, input="greet", vault_ids=[vault.id]
    )
    assert session.vault_ids == [vault.id]
    with pytest.raises(openai.BadRequestError) as unknown:
        client.beta.agents.sessions.create(
            agent={"model": "main"}, environment={"type": "none"}, input="greet", vault_ids=["vault_" + "0" * 32]
        )
    assert unknown.value.param == "vault_ids[0]"

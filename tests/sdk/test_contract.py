"""Everything that the server sends, held strictly against the SDK's own types.

The SDK builds its models without checking them, so that a wrong field only shows where a program stumbles over it. Here
every answer and every event is validated as pydantic would, and nothing may lie beside what the types know, except
objects named `bailiwick`.
"""

import json
import typing
import urllib.error
import urllib.request

import pydantic
import pytest
from openai.pagination import SyncCursorPage
from openai.types import FileDeleted, FileObject, Model
from openai.types.beta import Agent, AgentDeleted, AgentSession, AgentSessionDeleted
from openai.types.beta.agent_session_event import AgentSessionEvent
from openai.types.beta.agent_session_item import AgentSessionItem
from openai.types.beta.agents import EnvironmentInfo
from openai.types.beta.agents.environments import EnvironmentFile
from openai.types.beta.agents.sessions import SessionArtifact, SessionArtifactDeleted, Turn

from conftest import KEY
from test_sessions import HOSTED, NONE, WEATHER


class Api:
    def __init__(self, server):
        self.url = server.url

    def send(self, method, path, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        return urllib.request.urlopen(request, timeout=60)

    def json(self, method, path, body=None):
        with self.send(method, path, body) as answer:
            return json.load(answer)

    def events(self, method, path, body=None, headers=None):
        """The events of a stream, each with its `id:`."""
        found = []
        with self.send(method, path, body, headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            place = None
            for line in answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    place = value
                if name == "data":
                    found.append((place, json.loads(value)))
        return found


@pytest.fixture
def api(server):
    return Api(server)


def check(kind, value):
    """Validates, and looks for fields that the SDK does not know."""
    parsed = pydantic.TypeAdapter(kind).validate_python(value)
    unknown = list(strangers(parsed, "$"))
    assert not unknown, f"{unknown} in {json.dumps(value)[:400]}"
    return parsed


def strangers(value, path):
    if isinstance(value, pydantic.BaseModel):
        for name in value.model_extra or {}:
            if name != "bailiwick":
                yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from strangers(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from strangers(one, f"{path}[{index}]")


def check_page(kind, page):
    assert set(page) == {"object", "data", "has_more", "first_id", "last_id"}
    for one in page["data"]:
        check(kind, one)
    if page["data"]:
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    pydantic.TypeAdapter(SyncCursorPage[typing.Any]).validate_python(page)
    return page["data"]


def create(input, more=None):
    body = {"agent": {"model": "main"}, "environment": NONE, "input": input, "stream": True}
    return {**body, **(more or {})}


def test_every_event_and_item_fits_its_type(api):
    body = create("show everything", {"environment": HOSTED})
    events = api.events("POST", "/v1/agents/sessions", body)
    seen = {check(AgentSessionEvent, event).type for _, event in events}
    assert seen >= {
        "agent.session.created",
        "agent.session.in_progress",
        "agent.session.environment.connected",
        "agent.session.turn.created",
        "agent.session.turn.in_progress",
        "agent.session.turn.item.added",
        "agent.session.turn.reasoning_summary_part.added",
        "agent.session.turn.reasoning_summary_text.delta",
        "agent.session.turn.reasoning_summary_text.done",
        "agent.session.turn.reasoning_summary_part.done",
        "agent.session.turn.content_part.added",
        "agent.session.turn.output_text.delta",
        "agent.session.turn.output_text.done",
        "agent.session.turn.content_part.done",
        "agent.output.command_execution_output.delta",
        "agent.session.turn.item.done",
        "agent.session.turn.completed",
        "agent.session.idle",
    }
    assert all(event["obfuscation"].isalnum() for _, event in events)
    session = events[0][1]["session"]["id"]
    base = f"/v1/agents/sessions/{session}"
    items = check_page(AgentSessionItem, api.json("GET", f"{base}/items?limit=100&order=asc"))
    kinds = [item["type"] for item in items]
    assert set(kinds) == {"message", "reasoning", "command_execution", "mcp_call"}
    files = [item for item in items if item["type"] == "mcp_call"]
    assert {item["server_label"] for item in files} == {"environment"}
    assert all(item["bailiwick"]["scripted"] for item in items if item.get("role") != "user")
    turns = check_page(Turn, api.json("GET", f"{base}/turns"))
    check(Turn, api.json("GET", f"{base}/turns/{turns[0]['id']}"))
    check_page(AgentSessionItem, api.json("GET", f"{base}/turns/{turns[0]['id']}/items"))
    artifacts = check_page(SessionArtifact, api.json("GET", f"{base}/artifacts"))
    check(SessionArtifact, api.json("GET", f"{base}/artifacts/{artifacts[0]['id']}"))
    check(SessionArtifactDeleted, api.json("DELETE", f"{base}/artifacts/{artifacts[0]['id']}"))
    check(AgentSession, api.json("GET", base))
    check_page(EnvironmentInfo, api.json("GET", "/v1/agents/environments"))
    check(AgentSessionDeleted, api.json("DELETE", base))


def test_what_waits_fails_and_is_cancelled_fits_too(api):
    body = create("weather", {"agent": {"model": "main", "tools": [WEATHER]}, "stream": False})
    session = check(AgentSession, api.json("POST", "/v1/agents/sessions", body)).id
    base = f"/v1/agents/sessions/{session}"
    while (shown := api.json("GET", base))["status"] != "requires_action":
        pass
    check(AgentSession, shown)
    with api.send("POST", f"{base}/events", {"events": [{"type": "agent.session.input.cancel"}]}) as accepted:
        assert (accepted.status, accepted.read()) == (202, b"")
    while api.json("GET", base)["status"] != "idle":
        pass
    failed = api.events("POST", "/v1/agents/sessions", create("fail"))
    types = [check(AgentSessionEvent, event).type for _, event in failed]
    assert types[-3:] == ["error", "agent.session.turn.failed", "agent.session.idle"]
    own = {"environment": {"type": "self_hosted", "workspace_directory": "/w"}, "agent": {"model": "main"}}
    made = check(AgentSession, api.json("POST", "/v1/agents/sessions", own))
    assert made.environment.type == "self_hosted" and made.environment.remote_url == api.url
    check_page(AgentSession, api.json("GET", "/v1/agents/sessions"))
    check_page(AgentSessionItem, api.json("GET", f"{base}/items"))
    check_page(Turn, api.json("GET", f"{base}/turns"))


def test_saved_things_fit_their_types(api, client):
    body = {"model": "main", "name": "x", "tools": [WEATHER], "text": {"format": {"type": "json_schema", "schema": {}}}}
    agent = check(Agent, api.json("POST", "/v1/agents", body))
    check(Agent, api.json("POST", f"/v1/agents/{agent.id}", {"instructions": "y"}))
    check_page(Agent, api.json("GET", "/v1/agents"))
    check(AgentDeleted, api.json("DELETE", f"/v1/agents/{agent.id}"))
    file = client.files.create(file=("a.txt", b"x"), purpose="user_data")
    check(FileObject, api.json("GET", f"/v1/files/{file.id}"))
    check_page(FileObject, api.json("GET", "/v1/files"))
    made = api.json("POST", "/v1/agents/sessions", {"agent": {"model": "main"}, "environment": HOSTED})
    files = f"/v1/agents/environments/{made['environment']['id']}/files"
    param = {"type": "file_id", "file_id": file.id, "path": "/workspace/a.txt"}
    check(EnvironmentFile, api.json("POST", files, param))
    check(AgentSession, api.json("GET", f"/v1/agents/sessions/{made['id']}"))
    check(FileDeleted, api.json("DELETE", f"/v1/files/{file.id}"))
    models = api.json("GET", "/v1/models")
    assert [check(Model, model).id for model in models["data"]] == ["main", "priced"]
    check(Model, api.json("GET", "/v1/models/main"))


def test_a_stream_goes_on_where_it_was_left(api):
    events = api.events("POST", "/v1/agents/sessions", create("greet"))
    session = events[0][1]["session"]["id"]
    left_at = next(n for n, (_, event) in enumerate(events) if event["type"].endswith("output_text.delta"))
    headers = {"last-event-id": events[left_at][0]}
    told = []
    with api.send("GET", f"/v1/agents/sessions/{session}/events", headers=headers) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                told.append(json.loads(line[6:]))
            if told and told[-1]["type"] == "agent.session.idle":
                break
    # Deltas are provisional; what is final comes again under the same ids, and nothing of it is missing.
    last = ("done", "completed", "idle")
    final = [event["event_id"] for _, event in events[left_at:] if event["type"].endswith(last)]
    assert [event["event_id"] for event in told if event["type"].endswith(last)] == final
    text = "".join(event["delta"] for event in told if event["type"].endswith("output_text.delta"))
    assert text == "Hello there, how are you?"


def test_errors_are_errors_of_the_api(api):
    for method, path, body, status in [
        ("GET", "/v1/agents/sessions/sess_x", None, 404),
        ("GET", "/v1/nothing", None, 404),
        ("PUT", "/v1/agents", {}, 405),
        ("POST", "/v1/agents", {"model": "main", "colour": 1}, 400),
        ("POST", "/v1/webhook_endpoints", {}, 501),
    ]:
        with pytest.raises(urllib.error.HTTPError) as refused:
            api.send(method, path, body)
        assert refused.value.code == status
        error = json.load(refused.value)
        assert set(error) == {"error"} and set(error["error"]) == {"message", "type", "param", "code"}

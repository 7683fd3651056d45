"""Whole sessions, driven by the official SDK with nothing but another base URL."""

import asyncio
import threading
import time

import openai
import pytest
from openai import BedrockOpenAI
from pydantic import BaseModel

from conftest import KEY

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
NONE = {"type": "none"}
HOSTED = {"type": "openai_hosted"}


class Weather(BaseModel):
    city: str
    degrees: int


def wait_for(sessions, session_id, status, seconds=60):
    until = time.monotonic() + seconds
    while True:
        session = sessions.retrieve(session_id)
        if session.status == status:
            return session
        assert time.monotonic() < until, f"the session is {session.status}"
        time.sleep(0.05)


def test_a_streamed_creation_tells_the_whole_turn_in_order(sessions):
    stream = sessions.create(agent={"model": "main"}, environment=NONE, input="greet", stream=True)
    stream = stream.with_result_collection()
    events = list(stream)
    types = [event.type for event in events]
    assert types[0] == "agent.session.created"
    assert types[-1] == "agent.session.idle"
    order = [
        "agent.session.turn.created",
        "agent.session.turn.item.added",
        "agent.session.turn.content_part.added",
        "agent.session.turn.output_text.delta",
        "agent.session.turn.output_text.done",
        "agent.session.turn.content_part.done",
        "agent.session.turn.item.done",
        "agent.session.turn.completed",
        "agent.session.idle",
    ]
    positions = [types.index(one) for one in order]
    assert positions == sorted(positions), types
    deltas = [event.delta for event in events if event.type == "agent.session.turn.output_text.delta"]
    assert len(deltas) > 1, "the text is streamed"
    result = stream.get_final_result()
    assert result.output_text == "".join(deltas) == "Hello there, how are you?"
    assert result.turn.status == "completed"
    assert result.turn.usage.total_tokens == 18
    assert result.turn.usage.input_tokens_details.cached_tokens == 2


def test_tool_handlers_answer_function_calls(sessions):
    asked = []

    def get_weather(arguments):
        asked.append(arguments)
        return "sunny"

    stream = sessions.create(
        agent={"model": "main", "tools": [WEATHER]},
        environment=NONE,
        input="weather",
        stream=True,
        tool_handlers={"get_weather": get_weather},
    )
    result = stream.get_final_result()
    assert asked == [{"city": "Paris"}]
    assert result.output_text == "It is sunny."
    items = list(sessions.items.list(result.session_id, order="asc"))
    kinds = [item.type for item in items]
    assert kinds == ["message", "message", "function_call", "function_call_output", "message"]
    assert items[3].output == "sunny" or items[3].output[0].text == "sunny"


def test_a_function_call_is_answered_by_hand_and_only_once(sessions):
    session = sessions.create(agent={"model": "main", "tools": [WEATHER]}, environment=NONE, input="weather")
    session = wait_for(sessions, session.id, "requires_action")
    (call,) = session.required_actions
    assert (call.type, call.name, call.arguments) == ("function_call", "get_weather", {"city": "Paris"})
    result = {
        "type": "agent.session.input.tool_result",
        "call_id": call.call_id,
        "turn_id": call.turn_id,
        "success": True,
        "output": "windy",
    }
    unknown = {**result, "call_id": "call_unknown"}
    with pytest.raises(openai.BadRequestError) as refused:
        sessions.events.create(session.id, events=[unknown])
    assert refused.value.body["message"] == "Unknown pending tool call: call_unknown"
    sessions.events.create(session.id, events=[result], idempotency_key="once")
    sessions.events.create(session.id, events=[result], idempotency_key="once")
    wait_for(sessions, session.id, "idle")
    with pytest.raises(openai.APIStatusError) as reused:
        sessions.events.create(session.id, events=[unknown], idempotency_key="once")
    assert reused.value.status_code in (400, 409, 422)
    texts = [item.output_text for item in sessions.items.list(session.id) if item.type == "message"]
    assert "It is windy." in texts


def test_structured_output_is_parsed(sessions):
    stream = sessions.create(
        agent={"model": "main"}, environment=NONE, input="structured", stream=True, output_type=Weather
    )
    result = stream.get_final_result()
    assert result.output_parsed == Weather(city="Paris", degrees=21)


def test_the_stream_helper_runs_one_more_turn(sessions):
    session = sessions.create(agent={"model": "main"}, environment=NONE, input="greet")
    wait_for(sessions, session.id, "idle")
    with sessions.stream(session.id, input="weather, please, without tools: say yes") as stream:
        with pytest.raises(openai.OpenAIError):
            # The agent has no such function: the call is refused, and the scenario has nothing to say it with.
            stream.get_final_result()
    with sessions.stream(session.id, input="anything") as stream:
        result = stream.get_final_result()
    assert result.output_text == "Yes."
    turns = list(sessions.turns.list(session.id, order="asc"))
    assert [turn.status for turn in turns] == ["completed", turns[1].status, "completed"]


def test_cancel_stops_a_running_command_within_two_seconds(sessions):
    session = sessions.create(agent={"model": "main"}, environment=HOSTED, input="sleep")
    begun = threading.Event()
    seen = []

    def watch():
        for event in sessions.events.stream(session.id):
            seen.append(event.type)
            if event.type == "agent.output.command_execution_output.delta" and "begun" in event.delta:
                begun.set()
            if event.type == "agent.session.idle":
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert begun.wait(60), seen
    asked = time.monotonic()
    sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
    watcher.join(10)
    took = time.monotonic() - asked
    assert not watcher.is_alive() and took < 4, f"{took} s: {seen}"
    assert "agent.session.turn.cancelled" in seen
    (command,) = [item for item in sessions.items.list(session.id) if item.type == "command_execution"]
    assert command.status != "completed"
    assert "begun" in command.output


def test_artifacts_are_published_listed_and_downloaded(sessions, tmp_path):
    stream = sessions.create(agent={"model": "main"}, environment=HOSTED, input="publish", stream=True)
    result = stream.get_final_result()
    artifacts = sessions.artifacts.for_result(result)
    assert artifacts.content("/workspace/outputs/report.md").read() == b"one\n"
    target = tmp_path / "two.txt"
    selected = artifacts.download("/workspace/outputs/deep/two.txt", to=target)
    assert target.read_bytes() == b"two\n"
    assert selected.size_bytes == 4
    paths = {artifact.path for artifact in sessions.artifacts.list(result.session_id)}
    assert paths == {"/workspace/outputs/report.md", "/workspace/outputs/deep/two.txt"}
    deleted = sessions.artifacts.delete(selected.id, session_id=result.session_id)
    assert deleted.deleted
    with pytest.raises(openai.NotFoundError):
        sessions.artifacts.retrieve(selected.id, session_id=result.session_id)


def test_an_uploaded_file_lies_in_the_workspace(client, sessions):
    file = client.files.create(file=("data.csv", b"a,b\n1,2\n"), purpose="user_data")
    environment = {**HOSTED, "files": [{"type": "file_id", "file_id": file.id, "path": "/workspace/input/data.csv"}]}
    stream = sessions.create(agent={"model": "main"}, environment=environment, input="read the upload", stream=True)
    assert stream.get_final_result().output_text == "a,b\n1,2"
    assert client.files.content(file.id).read() == b"a,b\n1,2\n"
    assert client.files.delete(file.id).deleted


def test_saved_agents_have_a_life(client, sessions):
    agents = client.beta.agents
    agent = agents.create(model="main", name="Greeter", instructions="Greet.", metadata={"team": "sales"})
    assert agents.retrieve(agent.id).name == "Greeter"
    changed = agents.update(agent.id, name="Welcomer")
    assert (changed.name, changed.instructions) == ("Welcomer", "Greet.")
    assert agent.id in [one.id for one in agents.list()]
    session = sessions.create(agent_id=agent.id, environment=NONE, input="greet", metadata={"case": agent.id})
    assert session.agent.id == agent.id
    assert [one.id for one in sessions.list(agent_id=agent.id)] == [session.id]
    assert [one.id for one in sessions.list(metadata={"case": agent.id})] == [session.id]
    session = sessions.update(session.id, metadata={"case": "closed"})
    assert session.metadata == {"case": "closed"}
    wait_for(sessions, session.id, "idle")
    assert sessions.delete(session.id).deleted
    with pytest.raises(openai.NotFoundError):
        sessions.retrieve(session.id)
    assert agents.delete(agent.id).deleted
    with pytest.raises(openai.NotFoundError):
        agents.retrieve(agent.id)


def test_lists_come_in_pages_in_both_orders(sessions):
    made = [
        sessions.create(agent={"model": "main"}, environment=NONE, input="greet", metadata={"page": "yes"}).id
        for _ in range(5)
    ]
    newest_first = [one.id for one in sessions.list(metadata={"page": "yes"}, limit=2)]
    assert newest_first == made[::-1], "auto-paging walks all pages"
    oldest_first = [one.id for one in sessions.list(metadata={"page": "yes"}, limit=2, order="asc")]
    assert oldest_first == made
    with pytest.raises(openai.BadRequestError) as foreign:
        list(sessions.list(after="sess_nonsense"))
    assert foreign.value.param == "after"


def test_what_is_not_built_answers_501_and_names_itself(client, sessions):
    with pytest.raises(openai.APIStatusError) as automations:
        client.beta.agents.automations.list()
    assert automations.value.status_code == 501
    assert automations.value.response.headers["x-should-retry"] == "false"


def test_errors_have_the_shape_that_the_sdk_reads(server, sessions):
    with pytest.raises(openai.NotFoundError):
        sessions.retrieve("sess_" + "0" * 32)
    with pytest.raises(openai.BadRequestError) as no_model:
        sessions.create(agent={}, environment=NONE, input="greet")
    assert no_model.value.param == "agent.model"
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="bw_wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.beta.agents.sessions.list()


def test_the_async_client_works_the_same(async_client):
    async def turn():
        asked = []

        async def get_weather(arguments):
            asked.append(arguments)
            return "mild"

        stream = await async_client.beta.agents.sessions.create(
            agent={"model": "main", "tools": [WEATHER]},
            environment=NONE,
            input="weather",
            stream=True,
            tool_handlers={"get_weather": get_weather},
        )
        return asked, await stream.get_final_result()

    asked, result = asyncio.run(turn())
    assert asked == [{"city": "Paris"}]
    assert result.output_text == "It is mild."


@pytest.mark.parametrize("signed", [True, False])
def test_the_bedrock_client_signs_or_bears_a_token(server, signed):
    if signed:
        made = server.command("key", "create", "--kind", "access-key", "--name", "bedrock")
        credentials = {
            "aws_access_key_id": made["access_key_id"],
            "aws_secret_access_key": made["secret_access_key"],
        }
    else:
        credentials = {"api_key": KEY}
    bedrock = BedrockOpenAI(
        base_url=f"{server.url}/openai/v1", aws_region="eu-central-1", max_retries=0, **credentials
    )
    sessions = bedrock.beta.agents.sessions
    session = sessions.create(agent={"model": "main"}, environment=NONE, input="greet")
    session = wait_for(sessions, session.id, "idle")
    items = list(sessions.items.list(session.id, order="asc"))
    assert items[-1].output_text == "Hello there, how are you?"
    assert session.id in [one.id for one in sessions.list()]
    sessions.events.create(
        session.id,
        events=[
            {
                "type": "agent.session.input.message",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "more"}]}],
            }
        ],
    )
    until = time.monotonic() + 30
    while len(list(sessions.items.list(session.id))) < 4:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert sessions.delete(session.id).deleted

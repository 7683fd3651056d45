"""The SDK's own helpers, unmodified: streams of later turns, failing handlers, files of a directory."""

import asyncio

import openai
import pytest
from openai import AsyncBedrockOpenAI

from conftest import KEY
from test_sessions import HOSTED, NONE, WEATHER, Weather, wait_for


def test_a_later_turn_takes_handlers_and_an_output_type(sessions):
    session = sessions.create(agent={"model": "main", "tools": [WEATHER]}, environment=NONE, input="greet")
    wait_for(sessions, session.id, "idle")
    handlers = {"get_weather": lambda arguments: {"sky": "clear", "of": arguments["city"]}}
    with sessions.stream(session.id, input="weather", tool_handlers=handlers) as stream:
        assert stream.get_final_result().output_text == 'It is {"sky":"clear","of":"Paris"}.'
    with sessions.stream(session.id, input="structured", output_type=Weather) as stream:
        assert stream.get_final_result().output_parsed == Weather(city="Paris", degrees=21)
    with pytest.raises(ValueError, match="idle session"):
        sessions.events.create(session.id, events=[message("weather")])
        with sessions.stream(session.id, input="more"):
            pass


def message(text):
    content = [{"type": "input_text", "text": text}]
    return {"type": "agent.session.input.message", "input": [{"role": "user", "content": content}]}


def test_a_handler_that_fails_tells_the_model_so(sessions):
    told = []

    def broken(_):
        raise RuntimeError("secret detail")

    session = sessions.create(agent={"model": "main", "tools": [WEATHER]}, environment=NONE, input="greet")
    wait_for(sessions, session.id, "idle")
    with sessions.stream(
        session.id, input="weather", tool_handlers={"get_weather": broken}, on_tool_error=told.append
    ) as stream:
        result = stream.get_final_result()
    assert len(told) == 1
    assert "Tool handler failed." in result.output_text and "secret" not in result.output_text
    output = next(item for item in sessions.items.list(session.id) if item.type == "function_call_output")
    assert (output.status, output.error) == ("failed", "Tool handler failed.")


def test_a_call_without_a_handler_is_handed_to_the_caller(sessions):
    stream = sessions.create(
        agent={"model": "main", "tools": [WEATHER]}, environment=NONE, input="weather", stream=True
    )
    with pytest.raises(openai.OpenAIError) as waiting:
        stream.get_final_result()
    assert waiting.value.reason == "requires_action"
    (call,) = waiting.value.required_actions
    assert call.name == "get_weather"


def test_two_calls_of_one_answer_are_answered_one_by_one(sessions):
    stream = sessions.create(
        agent={"model": "main", "tools": [WEATHER]},
        environment=HOSTED,
        input="two cities and a command",
        stream=True,
        tool_handlers={"get_weather": lambda arguments: f"fine in {arguments['city']}"},
    )
    assert stream.get_final_result().output_text == "fine in Rome, fine in Oslo, done"


def test_a_cancelled_turn_is_told_as_one(sessions):
    stream = sessions.create(
        agent={"model": "main", "tools": [WEATHER]}, environment=NONE, input="weather", stream=True
    ).with_result_collection()
    for event in stream:
        if event.type == "agent.session.requires_action":
            sessions.events.create(event.session.id, events=[{"type": "agent.session.input.cancel"}])
        if event.type == "agent.session.idle":
            break
    with pytest.raises(openai.OpenAIError) as cancelled:
        stream.get_final_result()
    assert cancelled.value.reason == "cancelled"


def test_a_directory_goes_into_a_new_environment(client, sessions, tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "data.csv").write_text("x,y\n3,4\n")
    (tmp_path / "ignored.bin").write_bytes(b"\0")
    files = client.beta.agents.environments.files
    prepared = files.prepare_directory(tmp_path, destination="/workspace", include=["**/*.csv"])
    assert [one["path"] for one in prepared.files] == ["/workspace/input/data.csv"]
    environment = {**HOSTED, "files": prepared.files}
    stream = sessions.create(agent={"model": "main"}, environment=environment, input="read the upload", stream=True)
    assert stream.get_final_result().output_text == "x,y\n3,4"
    for file in prepared.uploaded_file_ids:
        assert client.files.delete(file).deleted


def test_a_file_is_staged_in_an_environment_that_waits(client, sessions):
    session = sessions.create(agent={"model": "main"}, environment=HOSTED)
    environments = client.beta.agents.environments
    staged = environments.files.upload(
        session.environment.id, file=("data.csv", b"5,6\n"), path="/workspace/input/data.csv"
    )
    assert (staged.file.path, staged.file.size_bytes) == ("/workspace/input/data.csv", 4)
    assert [file.path for file in environments.files.list(session.environment.id)] == [staged.file.path]
    assert environments.retrieve(session.environment.id).status == "pending"
    with sessions.stream(session.id, input="read the upload") as stream:
        assert stream.get_final_result().output_text == "5,6"
    assert environments.retrieve(session.environment.id).status == "connected"
    # While it runs, a file takes the place of the one before it, and the next turn sees it.
    staged = environments.files.upload(
        session.environment.id, file=("data.csv", b"7,8,9\n"), path="/workspace/input/data.csv"
    )
    assert (staged.file.path, staged.file.size_bytes) == ("/workspace/input/data.csv", 6)
    with sessions.stream(session.id, input="read the upload") as stream:
        assert stream.get_final_result().output_text == "7,8,9"
    # It is looked into, page by page, and the model is told nothing of that.
    environments.files.upload(session.environment.id, file=("b.csv", b"1\n"), path="/workspace/b.csv")
    for order, names in [("asc", ["b.csv", "input/data.csv"]), ("desc", ["input/data.csv", "b.csv"])]:
        listed = list(environments.files.list(session.environment.id, limit=1, order=order))
        assert [file.path for file in listed] == [f"/workspace/{name}" for name in names]
        assert {file.path: file.size_bytes for file in listed} == {"/workspace/b.csv": 2, "/workspace/input/data.csv": 6}
    below = environments.files.list(session.environment.id, path="/workspace/input")
    assert [file.path for file in below.data] == ["/workspace/input/data.csv"] and not below.has_more
    with sessions.stream(session.id, input="read the upload") as stream:
        assert stream.get_final_result().output_text == "7,8,9"
    with pytest.raises(openai.BadRequestError) as elsewhere:
        environments.files.list(session.environment.id, path="/etc")
    assert elsewhere.value.param == "path"
    with pytest.raises(openai.APIStatusError) as warm:
        environments.create(environment=HOSTED)
    assert warm.value.status_code == 501 and "made with their sessions" in warm.value.message


def test_files_come_in_pages(client):
    made = {client.files.create(file=(f"{n}.txt", b"x"), purpose="vision").id for n in range(5)}
    listed = [file.id for file in client.files.list(purpose="vision", limit=2)]
    assert made <= set(listed) and len(listed) == len(set(listed))


def test_the_async_bedrock_client_streams(server):
    async def turn():
        bedrock = AsyncBedrockOpenAI(
            base_url=f"{server.url}/openai/v1", aws_region="eu-central-1", api_key=KEY, max_retries=0
        )
        sessions = bedrock.beta.agents.sessions
        session = await sessions.create(
            agent={"model": "main"},
            environment=NONE,
            input="greet",
            extra_body={"role_arn": "arn:aws:iam::123456789012:role/agents"},
        )
        while (await sessions.retrieve(session.id)).status != "idle":
            await asyncio.sleep(0.02)
        async with sessions.stream(session.id, input="greet again") as stream:
            return (await stream.get_final_result()).output_text, await sessions.retrieve(session.id)

    text, session = asyncio.run(turn())
    assert text == "Hello there, how are you?"
    assert session.bailiwick["role_arn"] == "arn:aws:iam::123456789012:role/agents"

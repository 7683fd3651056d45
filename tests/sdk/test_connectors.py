"""MCP servers as tools of an agent: the official SDK's own types, and the reference server of the protocol."""

import pathlib
import socket
import subprocess

import pytest

from test_sessions import NONE, wait_for

ROOT = pathlib.Path(__file__).parent.parent.parent
PACKAGE = "target/tools/mcp-servers/node_modules/@modelcontextprotocol/server-everything/dist/index.js"


@pytest.fixture(scope="module")
def everything():
    """The reference server with one of everything."""
    script = ROOT / PACKAGE
    assert script.exists(), "run .ci/fetch-tools.sh mcp-servers first"
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["node", script, "streamableHttp"]
        process = subprocess.Popen(
            command, env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PORT": str(port)}, stderr=subprocess.PIPE, text=True
        )
        if any("listening on port" in line for line in process.stderr):
            break
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


def agent(url, **more):
    tool = {
        "type": "mcp",
        "server_label": "every",
        "transport": {"type": "http", "server_url": url},
        "allowed_tools": ["echo", "get-sum"],
        "required": True,
        **more,
    }
    return {"model": "main", "tools": [tool]}


def test_a_tool_of_an_mcp_server_is_called_and_shown_as_the_api_has_it(sessions, everything):
    stream = sessions.create(agent=agent(everything), environment=NONE, input="echo through mcp", stream=True)
    stream = stream.with_result_collection()
    done = [event for event in stream if event.type == "agent.session.turn.item.done"]
    calls = [event.item for event in done if event.item.type == "mcp_call"]
    assert [(call.server_label, call.name, call.status) for call in calls] == [("every", "echo", "completed")]
    assert calls[0].arguments == {"message": "grüße"}
    assert "Echo: grüße" in str(calls[0].output) and calls[0].error is None
    result = stream.get_final_result()
    assert "Echo: grüße" in result.output_text
    session = sessions.retrieve(result.turn.session_id)
    tool = session.agent.tools[0]
    assert (tool.type, tool.server_label, tool.transport.type) == ("mcp", "every", "http")
    assert tool.transport.server_url == everything


def test_deferred_tools_are_found_by_a_search(sessions, everything):
    pay = {
        "type": "function",
        "name": "pay",
        "description": "Pays.",
        "parameters": {"type": "object", "properties": {}},
        "defer_loading": True,
    }
    tools = [{"type": "tool_search"}, pay, *agent(everything, bailiwick={"defer_loading": True})["tools"]]
    given = {"model": "main", "tools": tools}
    stream = sessions.create(agent=given, environment=NONE, input="find the sum", stream=True).with_result_collection()
    for _ in stream:
        pass
    result = stream.get_final_result()
    assert "42" in result.output_text
    shown = {tool.type: tool for tool in sessions.retrieve(result.turn.session_id).agent.tools}
    assert set(shown) == {"function", "mcp"}, "the search is named on saved agents only"
    assert shown["function"].defer_loading is True


def test_tools_may_change_in_mid_session(sessions, everything):
    session = sessions.create(agent={"model": "main"}, environment=NONE, input="greet")
    wait_for(sessions, session.id, "idle")
    changed = sessions.update(session.id, agent={"tools": agent(everything)["tools"]})
    assert changed.agent.tools[0].server_label == "every"
    with sessions.stream(session.id, input="echo through mcp") as stream:
        for _ in stream:
            pass
    call = next(item for item in sessions.items.list(session.id, order="desc") if item.type == "mcp_call")
    assert "Echo: grüße" in str(call.output)


def test_a_required_server_that_is_down_fails_the_turn_with_the_apis_code(sessions):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
    session = sessions.create(agent=agent(down), environment=NONE, input="echo through mcp")
    wait_for(sessions, session.id, "idle")
    turn = next(iter(sessions.turns.list(session.id)))
    assert turn.status == "failed" and turn.error.code == "connection_failed"
    assert "every" in turn.error.message

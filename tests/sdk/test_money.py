"""What a session may spend, and what was spent."""

import json
import subprocess

import pytest
from conftest import BINARY, KEY
from openai.lib.beta.agents._result import AgentTurnResultError

NONE = {"type": "none"}


def begin(sessions, text, **more):
    stream = sessions.create(agent={"model": "priced"}, environment=NONE, input=text, stream=True, **more)
    return stream.get_final_result()


def test_a_session_is_refused_by_its_limit_and_goes_on_when_it_is_raised(sessions, server):
    with pytest.raises(AgentTurnResultError) as raised:
        begin(sessions, "greet", spend_control={"limit": 100})
    refused = raised.value
    assert (refused.reason, refused.turn.status) == ("failed", "failed")
    assert refused.turn.error.code == "session_budget_exceeded"
    assert "1.000000 USD in all" in refused.turn.error.message
    session = sessions.retrieve(refused.session_id)
    assert (session.spend_control.limit, session.spend_control.consumed) == (100, 0)
    assert session.usage.total_tokens == 0

    session = sessions.update(refused.session_id, spend_control={"limit": 110})
    assert session.spend_control.limit == 110
    unlimited = sessions.update(refused.session_id, spend_control={"limit": None})
    assert unlimited.spend_control is None
    unlimited = sessions.update(refused.session_id, spend_control=None)
    assert unlimited.spend_control is None

    allowed = begin(sessions, "greet", spend_control={"limit": 110})
    assert allowed.turn.status == "completed"
    session = sessions.retrieve(allowed.session_id)
    # 7 tokens of output and 11 of input are 0.00070011 dollars: no whole cent.
    assert (session.spend_control.limit, session.spend_control.consumed) == (110, 0)
    assert begin(sessions, "greet").turn.status == "completed"


def test_budgets_and_spend_by_the_commands(sessions, server):
    result = begin(sessions, "greet")
    budget = server.command("budget", "set", "--session", result.session_id, "--per", "total", "--limit", "0.5")
    assert budget["limit"] == "0.500000" and budget["currency"] == "USD"
    listed = server.command("budget", "list")["budgets"]
    assert budget["id"] in [one["id"] for one in listed]

    spend = server.command("spend", "show", "--by", "session,outcome", "--session", result.session_id)
    assert [line["values"] for line in spend["data"]] == [[result.session_id, "completed"]]
    assert spend["total"]["cost"] == "0.000701", "rounded up to a micro-unit"
    assert (spend["total"]["input_tokens"], spend["total"]["output_tokens"]) == (11, 7)
    done = subprocess.run(
        [BINARY, "spend", "export", "--by", "model", "--session", result.session_id, "--server", server.url, "--key", KEY],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(",") for line in done.stdout.split()]
    assert rows[0][:2] == ["model", "calls"] and rows[1][:2] == ["priced", "1"]

    agent = sessions._client.beta.agents.create(model="priced", name="estimated")
    assert server.command("spend", "estimate", "estimated")["runs"] == 0
    run = sessions.create(agent_id=agent.id, environment=NONE, input="greet", stream=True).get_final_result()
    assert run.turn.status == "completed"
    estimate = server.command("spend", "estimate", agent.id)
    assert (estimate["runs"], estimate["median"]) == (1, "0.000701")

    removed = server.command("budget", "remove", budget["id"])
    assert json.dumps(removed["deleted"]) == "true"

"""The real binary on a data folder of its own, and clients of the official SDK."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import pytest
from openai import AsyncOpenAI, OpenAI

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BINARY = ROOT / "target/debug/bailiwick"
KEY = "sdk-test-key-0123456789abcdef"


class Server:
    def __init__(self, folder: pathlib.Path) -> None:
        self.data = folder / "data"
        config = folder / "bailiwick.toml"
        scenario = json.dumps(str(HERE / "scenario.toml"))
        model = f'provider = "rehearsal"\nscenario = {scenario}\n'
        # The most that a call of it takes is a little over one dollar.
        prices = '{ version = 1, input = "0.01", output = "100" }'
        priced = f"[models.priced]\n{model}max_output_tokens = 10000\nprices = {prices}\n"
        config.write_text(f"[models.main]\n{model}{priced}[outbound]\nopen = [\"127.0.0.0/8\"]\n")
        self.log = (folder / "server.log").open("w+")
        arguments = ["serve", "--data", self.data, "--listen", "127.0.0.1:0", "--config", config]
        self.process = subprocess.Popen(
            [BINARY, *arguments],
            env={**os.environ, "BAILIWICK_BOOTSTRAP_KEY": KEY},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
        )
        self.url = self._wait()

    def _wait(self) -> str:
        announcement = self.data / "server.json"
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                said = json.loads(announcement.read_text())
                url = said.get("url") or said.get("address") or said.get("listen")
                url = url if url.startswith("http") else f"http://{url}"
                urllib.request.urlopen(f"{url}/healthz", timeout=1)
                return url
            except (OSError, ValueError, AttributeError, urllib.error.URLError):
                time.sleep(0.05)
        self.log.seek(0)
        raise RuntimeError(f"the server did not come up: {self.log.read()}")

    def command(self, *arguments: str) -> dict:
        done = subprocess.run(
            [BINARY, *arguments, "--json", "--server", self.url, "--key", KEY],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="session")
def server():
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        running = Server(pathlib.Path(folder))
        yield running
        running.stop()


@pytest.fixture
def client(server):
    return OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60)


@pytest.fixture
def async_client(server):
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60)


@pytest.fixture
def sessions(client):
    return client.beta.agents.sessions

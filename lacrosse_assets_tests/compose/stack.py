"""A Compose project of the tests' own: it has other ports, passwords and volumes than one that is in use."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
from dotenv import dotenv_values
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from lacrosse_assets.embedded.ports import LOOPBACK, free_ports
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.chaos.verdict import Row, Tables
from lacrosse_assets_tests.support.compose import make_env
from lacrosse_assets_tests.support.waiting import wait_until

PROJECT = "lacrosse-test"
LOG_FILE = PROJECT_ROOT / ".lacrosse" / "test-compose.log"
READ_TABLES = (Path(__file__).parent / "read_tables.py").read_text()
HEALTHY_TIMEOUT_SECONDS = 300  # SQL Server takes a minute or two at its first start
# Of a container that ends by itself, and of one without a health check.
WITHOUT_HEALTH = {"page_user": "exited", "gamestream": "running"}


class Stack:
    """The services of docker-compose.yaml, and clients of what they publish on loopback."""

    def __init__(self, folder: Path) -> None:
        made = make_env(folder)
        assert made.returncode == 0, made.stderr
        self._env_file = folder / ".env"
        text = self._env_file.read_text()
        names = re.findall(r"^(\w+_PORT)=", text, re.MULTILINE)
        for name, port in zip(names, free_ports(*[0] * len(names)), strict=True):
            text = re.sub(rf"^{name}=.*$", f"{name}={port}", text, flags=re.MULTILINE)
        self._env_file.write_text(text)
        self.settings = {name: value for name, value in dotenv_values(self._env_file).items() if value}
        self._mongo = MongoClient[Row](self.settings["MONGODB_URI"], tz_aware=True, serverSelectionTimeoutMS=2000)

    def compose(self, *arguments: str, stdin: str | None = None, **variables: str) -> str:
        """Run `docker compose`, with further variables; they override those of `.env`. Returns its output.

        Raises:
            AssertionError: it ended with an error.
        """
        environ = {name: value for name, value in os.environ.items() if name not in self.settings}
        command = ["docker", "compose", "--project-name", PROJECT, "--env-file", str(self._env_file), *arguments]
        ended = subprocess.run(
            command, cwd=PROJECT_ROOT, env={**environ, **variables}, input=stdin, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{' '.join(arguments)}: {ended.stdout[-2000:]}{ended.stderr[-4000:]}"
        return ended.stdout

    def play(self, delay: float) -> None:
        """Start the game from its first event, in a new container."""
        self.compose("up", "--detach", "--no-deps", "--force-recreate", "gamestream", DELAY=str(delay))

    def close(self) -> None:
        self._mongo.close()

    # The containers

    def states(self) -> dict[str, str]:
        """The health of each container by its service; its state if it has no health check."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        containers = [json.loads(line) for line in lines]
        return {each["Service"]: each["Health"] or each["State"] for each in containers}

    def not_as_expected(self) -> dict[str, str]:
        """The services whose state is not the one of a stack that works."""
        return {name: state for name, state in self.states().items() if state != WITHOUT_HEALTH.get(name, "healthy")}

    def kill(self, service: str) -> None:
        """End the container's first process with SIGKILL, and wait until Docker has started the container again.

        Not with `docker kill`: that is a stop on request, after which Docker does not start it.
        """
        container = self.compose("ps", "--quiet", service).strip()
        before = self._inspect(container, "{{.State.StartedAt}}")
        pid = self._inspect(container, "{{.State.Pid}}")
        # By a container, because the processes of other containers belong to the engine's users.
        in_host = ("--rm", "--privileged", "--pid=host", "--user=0", "--entrypoint=sh", "lacrosse-page")
        subprocess.run(["docker", "run", *in_host, "-c", f"kill -9 {pid}"], check=True, capture_output=True)
        wait_until(
            lambda: (
                self._inspect(container, "{{.State.StartedAt}} {{.State.Running}}")
                not in (f"{before} true", f"{before} false")
            ),
            f"a restart of {service}",
        )

    def wait_until_healthy(self) -> None:
        wait_until(
            lambda: not self.not_as_expected(),
            lambda: f"healthy services: {self.states()}",
            timeout=HEALTHY_TIMEOUT_SECONDS,
            every=1,
        )

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", *services)

    @staticmethod
    def _inspect(container: str, template: str) -> str:
        command = ["docker", "inspect", "--format", template, container]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    # The stores. A store that is unreachable is None.

    def documents(self) -> list[Row] | None:
        """All box scores by `_id`."""
        with suppress(PyMongoError):
            return list(self._mongo["sidearm"]["boxscores"].find({"_id": {"$gte": 0}}, sort=[("_id", 1)]))
        return None

    def current(self) -> Row | None:
        """The current box score."""
        documents = self.documents()
        return documents[-1] if documents else None

    def tables(self) -> Tables | None:
        """Both final tables; empty if they are missing."""
        found = self.rows("teams2", "players2")
        return found["teams2"], found["players2"]

    def rows(self, *tables: str) -> dict[str, list[Row]]:
        """The rows of tables by id. Read in a container, which has SQL Server's driver."""
        read = self.compose("exec", "-T", "jupyter", "python", "-", *tables, stdin=READ_TABLES)
        found: dict[str, list[Row]] = json.loads(read)
        return found

    def stream(self) -> bytes:
        """The stream object."""
        store = boto3.client(
            "s3",
            endpoint_url=self.settings["AWS_ENDPOINT_URL_S3"],
            region_name=self.settings["AWS_REGION"],
            aws_access_key_id=self.settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.settings["AWS_SECRET_ACCESS_KEY"],
        )
        bucket, key = self.settings["GAMESTREAM_BUCKET"], self.settings["GAMESTREAM_KEY"]
        body: bytes = store.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    # What people look at

    def get(self, port: str, path: str, **headers: str) -> Any:
        """The JSON at a path of the service whose port on this machine is the setting `port`."""
        return self._ask(Request(f"http://{LOOPBACK}:{self.settings[port]}{path}", headers=headers))

    def failed_runs(self) -> list[str]:
        """The jobs of the failed runs, as the Dagster UI reports them."""
        query = "{runsOrError(filter: {statuses: [FAILURE]}) {... on Runs {results {jobName}}}}"
        body = json.dumps({"query": query}).encode()
        url = f"http://{LOOPBACK}:{self.settings['DAGIT_PORT']}/graphql"
        answer = self._ask(Request(url, body, {"Content-Type": "application/json"}))
        return [run["jobName"] for run in answer["data"]["runsOrError"]["results"]]

    @staticmethod
    def _ask(request: Request) -> Any:
        with urlopen(request, timeout=10) as response:
            return json.load(response)


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """The stack with everything but the game, built from the checkout. Its logs are in `LOG_FILE` at the end."""
    own = Stack(folder)
    services = own.compose("config", "--services").split()
    # Left by tests that were killed.
    own.compose("down", "--volumes", "--timeout", "1")
    try:
        own.compose("build")
        own.compose("up", "--detach", *(name for name in services if name != "gamestream"))
        own.wait_until_healthy()
        yield own
    finally:
        own.close()
        LOG_FILE.parent.mkdir(exist_ok=True)
        LOG_FILE.write_text(own.compose("logs", "--no-color", "--timestamps"))
        own.compose("down", "--volumes", "--timeout", "1")

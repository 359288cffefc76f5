"""The example page as a process of its own, as a web developer would run it (examples/boxscore_page)."""

import urllib.request
from collections.abc import Callable
from pathlib import Path

from lacrosse_assets.embedded.processes import LOOPBACK, Server
from lacrosse_assets.embedded.services import choose_port, executable
from lacrosse_assets.settings import PROJECT_ROOT

PAGE_PORT = 8000
APP = "examples.boxscore_page.app:create_app"


class BoxscorePage(Server):
    """The page of the box scores in the MongoDB at `mongodb_uri`, which need not be up. `url` is the page's."""

    def __init__(self, state_dir: Path, mongodb_uri: str, say: Callable[[str], None], port: int = PAGE_PORT) -> None:
        port = choose_port("the box score page", port, say)
        self.url = f"http://{LOOPBACK}:{port}"
        command = [
            executable("uvicorn"),
            *("--app-dir", PROJECT_ROOT),
            *("--host", LOOPBACK),
            *("--port", port),
            *("--factory", APP),
        ]
        super().__init__("page", command, state_dir, self._is_up, environ={"MONGODB_URI": mongodb_uri}, port=port)

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:  # noqa: S310 (our own address)
                return bool(answer.status == 200)
        except OSError:
            return False

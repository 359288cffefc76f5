"""The example page as a separate process, as a web developer would run it.

The page is not a part of the package: it is in a checkout of the project (examples/boxscore_page).
"""

import urllib.request
from pathlib import Path

from lacrosse_assets.embedded.ports import LOOPBACK, choose_port
from lacrosse_assets.embedded.supervision import Report, Server, ServerError, executable

PAGE_PORT = 8000
APP = "examples.boxscore_page.app:create_app"
HTTP_TIMEOUT_SECONDS = 5


class BoxscorePage(Server):
    """The page of the box scores at `mongodb_uri`, which need not be up. `url` is the address of the page.

    `gamestream_key` decides, as in the platform, whether it is a game day's.
    `checkout` is the root of the project. Raises `ServerError` if the example is not there.
    """

    def __init__(
        self,
        state_dir: Path,
        mongodb_uri: str,
        report: Report,
        port: int = PAGE_PORT,
        *,
        checkout: Path,
        gamestream_key: str = "",
    ) -> None:
        app = checkout.joinpath(*APP.split(":")[0].split(".")).with_suffix(".py")
        if not app.exists():
            raise ServerError(f"{app} does not exist: the box score page needs a checkout of the project")
        port = choose_port("the box score page", port, report)
        self.url = f"http://{LOOPBACK}:{port}"
        command = [
            executable("uvicorn"),
            *("--app-dir", checkout.resolve()),
            *("--host", LOOPBACK),
            *("--port", port),
            *("--factory", APP),
        ]
        environ = {"MONGODB_URI": mongodb_uri, "GAMESTREAM_KEY": gamestream_key}
        super().__init__("page", command, state_dir, self._is_healthy, environ=environ, port=port)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=HTTP_TIMEOUT_SECONDS) as response:  # noqa: S310
                return bool(response.status == 200)
        except OSError:
            return False

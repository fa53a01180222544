"""dbt's documentation of the marts as a web page, made when somebody opens it and it has changed.

`python -m stock_platform.warehouse.docs_page --port N` serves it on loopback. Nothing is made at
the start: `dbt docs generate` takes seconds, which the services beside it need for their own start.
Whoever opens the page after the project or the tables changed waits, on a page that says so.
"""

from __future__ import annotations

import argparse
import html
import threading
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from stock_platform.settings import Settings

_WAITING = """<!doctype html><title>dbt docs</title><meta http-equiv="refresh" content="1">
<body style="font: 16px sans-serif; margin: 4em"><p>{}</p>"""
_FAILED = """<!doctype html><title>dbt docs</title>
<body style="font: 16px sans-serif; margin: 4em">
<p>dbt can't make the documentation. Load this page again to try again.</p><pre>{}</pre>"""


class DocsPage:
    """The page of one platform, and the making of it."""

    def __init__(
        self, folder: Path, state: Callable[[], str], make: Callable[[Path], None]
    ) -> None:
        """Prepare.

        Args:
            folder: keeps the page, under the name of the state it shows.
            state: names what the documentation depends on, as it is now.
            make: writes the page to a path; PlatformError: why it can't.
        """
        self._folder, self._state, self._make = folder, state, make
        self._lock = threading.Lock()
        self._making = False
        self._failure = ""

    def answer(self) -> tuple[int, bytes]:
        """Status and content of a request: the page, or one to wait on that loads itself again."""
        try:
            state = self._state()
        except PlatformError as error:
            return 200, _WAITING.format(html.escape(str(error))).encode()
        page = self._folder / f"{state}.html"
        if page.exists():
            return 200, page.read_bytes()
        with self._lock:
            if self._failure:
                failure, self._failure = self._failure, ""
                return 500, _FAILED.format(html.escape(failure)).encode()
            if not self._making:
                self._making = True
                threading.Thread(target=self._renew, args=(page,), daemon=True).start()
        return 200, _WAITING.format("dbt writes the documentation, a few seconds ...").encode()

    def _renew(self, page: Path) -> None:
        failure = ""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = page.with_suffix(".new")
            self._make(draft)
            draft.replace(page)
            for old in self._folder.glob("*.html"):
                if old != page:
                    old.unlink(missing_ok=True)
        except PlatformError as error:
            failure = str(error)
        with self._lock:
            self._making, self._failure = False, failure


def page_of(settings: Settings) -> DocsPage:
    """The documentation of the dbt project against the warehouse of `settings`."""
    target = settings.home / "dbt" / "docs"

    def state() -> str:
        from stock_platform.warehouse.client import connect
        from stock_platform.warehouse.manifest import newest_change

        client = connect(settings)
        try:
            tables = client.query(
                "SELECT name, uuid FROM system.tables WHERE database = {name:String} ORDER BY name",
                parameters={"name": client.database},
            ).result_rows
        finally:
            client.close()
        return sha256(repr((newest_change(), tables)).encode()).hexdigest()[:16]

    def make(path: Path) -> None:
        from stock_platform.warehouse import dbt

        done = dbt.run(settings, "docs", "generate", "--static", target=target)
        if done.returncode:
            raise PlatformError(done.stdout[-4000:])
        (target / "target" / "static_index.html").replace(path)

    return DocsPage(target / "pages", state, make)


def serve(page: DocsPage, port: int) -> None:
    """Serve on loopback until the process ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """The page at `/`, `ok` at `/health`, nothing elsewhere.

            dbt's page asks for the texts of its own templates (`/{{ getIcon(...) }}`) before it
            fills them in: 204 keeps the browser from calling each an error.
            """
            path = self.path.partition("?")[0]
            if path == "/":
                code, content = page.answer()
            elif path == "/health":
                code, content = 200, b"ok"
            else:
                code, content = 204, b""
            self.send_response(code)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            if code != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet: the supervisor shows what the services say."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


def main() -> None:
    """Serve the page of the present settings."""
    from stock_platform.settings import load_settings

    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    serve(page_of(load_settings()), options.parse_args().port)


if __name__ == "__main__":
    main()

"""Superset's REST API, as much of it as is needed: log in, ask charts for rows, renew the cache.

With anonymous viewing on, Superset's tokens are not looked at: the session's cookie is what counts.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import requests

from stock_platform.errors import PlatformError

TIMEOUT_SECONDS = 90
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


@dataclass(frozen=True)
class Answer:
    """What a chart's data endpoint said.

    Attributes:
        rows: of its first query; a mixed chart has two.
        seconds: how long it took.
        error: empty when all is well.
    """

    chart: str
    rows: int
    seconds: float
    error: str


class SupersetClient:
    """A session; without a password an anonymous viewer's."""

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        """Log in, unless anonymous.

        Raises:
            PlatformError: nothing answers there, or the password is wrong.
        """
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy: it is on loopback or in the same network
        if user:
            self._log_in(user, password)

    def get(self, path: str) -> requests.Response:
        """GET a path below the address.

        Raises:
            PlatformError: no answer.
        """
        return self._send("GET", path)

    def charts(self) -> dict[str, int]:
        """Id by uuid of every chart the user may see."""
        return self._list("chart")

    def datasets(self) -> dict[str, int]:
        """Id by uuid of every dataset."""
        return self._list("dataset")

    def ask(self, chart_id: int, *, force: bool = False) -> Answer:
        """Rows of a chart by its stored query; `force` passes the cache by."""
        began = time.monotonic()
        found = self.get(f"/api/v1/chart/{chart_id}/data/{'?force=true' if force else ''}")
        seconds = time.monotonic() - began
        if found.status_code != 200:
            return Answer(str(chart_id), 0, seconds, f"{found.status_code} {found.text[:300]}")
        results = found.json()["result"]
        error = next((str(one["error"]) for one in results if one.get("error")), "")
        return Answer(str(chart_id), int(results[0]["rowcount"]), seconds, error)

    def forget(self, dataset_ids: list[int]) -> None:
        """Drop everything cached of the datasets.

        Raises:
            PlatformError: Superset refuses.
        """
        self._send(
            "POST",
            "/api/v1/cachekey/invalidate",
            json={"datasource_uids": [f"{one}__table" for one in dataset_ids]},
            expected=201,
        )

    def _list(self, kind: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for page in range(100):
            query = f"(columns:!(id,uuid),page:{page},page_size:100)"
            rows = self._send("GET", f"/api/v1/{kind}/?q={query}", expected=200).json()["result"]
            found |= {str(row["uuid"]): int(row["id"]) for row in rows}
            if len(rows) < 100:
                break
        return found

    def _log_in(self, user: str, password: str) -> None:
        form = self._send("GET", "/login/", expected=200).text
        token = _TOKEN.search(form)
        data = {"username": user, "password": password}
        data |= {"csrf_token": token.group(1)} if token else {}
        self._send("POST", "/login/", data=data)
        me = self.get("/api/v1/me/")
        if me.status_code != 200 or me.json()["result"].get("username") != user:
            raise PlatformError(f"Superset at {self.url} refuses the password of {user!r}")
        token_found = self._send("GET", "/api/v1/security/csrf_token/", expected=200)
        self.session.headers["X-CSRFToken"] = str(token_found.json()["result"])
        self.session.headers["Referer"] = self.url

    def _send(
        self, method: str, path: str, *, expected: int | None = None, **more: Any
    ) -> requests.Response:
        try:
            found = self.session.request(method, self.url + path, timeout=TIMEOUT_SECONDS, **more)
        except requests.RequestException as error:
            raise PlatformError(f"Superset at {self.url} does not answer: {error}") from None
        if expected is not None and found.status_code != expected:
            raise PlatformError(
                f"Superset answers {found.status_code} to {method} {path}: {found.text[:300]}"
            )
        return found

"""The lake in an S3 bucket: the same promises as a directory, over HTTP.

Write-once is a conditional put (`If-None-Match: *`). What is common to all stores is `store.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stock_platform.lake.store import THREADS, StoreError

if TYPE_CHECKING:
    from stock_platform.settings import Settings

_PAGE = 1000


class S3Store:
    """A bucket and prefix. An object is created with a conditional put (`If-None-Match: *`)."""

    def __init__(self, settings: Settings) -> None:
        self.root = settings.lake_root
        parts = urlsplit(self.root)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._endpoint = settings.s3_endpoint_url
        self._region = settings.s3_region
        self._key = settings.s3_access_key_id
        self._secret = settings.s3_secret_access_key.get_secret_value()

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self._endpoint or None,
            region_name=self._region,
            aws_access_key_id=self._key or None,
            aws_secret_access_key=self._secret or None,
            config=Config(
                max_pool_connections=THREADS,
                retries={"mode": "standard", "max_attempts": 5},
                connect_timeout=10,
                read_timeout=60,
            ),
        )

    def _object(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def put_new(self, objects: Sequence[tuple[str, bytes]]) -> list[str]:
        """See `ObjectStore.put_new`."""
        with self._named(), ThreadPoolExecutor(THREADS) as pool:
            created = list(pool.map(self._put_one, objects))
        return [key for (key, _), new in zip(objects, created, strict=True) if not new]

    def _put_one(self, item: tuple[str, bytes]) -> bool:
        from botocore.exceptions import ClientError

        key, data = item
        for attempt in range(5):
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._object(key), Body=data, IfNoneMatch="*"
                )
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in ("PreconditionFailed", "412"):
                    # The retry of a put whose answer was lost meets its own object.
                    return False
                if code != "ConditionalRequestConflict" or attempt == 4:
                    raise
            else:
                return True
        raise AssertionError("unreachable")

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        with self._named():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._object(key))
            data: bytes = answer["Body"].read()
        return data

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See `ObjectStore.list`."""
        strip = len(self._prefix) + 1 if self._prefix else 0
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._object(folder),
            PaginationConfig={"PageSize": _PAGE},
        )
        with self._named():
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"][strip:], item["Size"]

    def uri(self, key: str) -> str:
        """See `ObjectStore.uri`."""
        return f"{self.root}/{key}"

    def location(self, key: str) -> str:
        """See `ObjectStore.location`."""
        return f"{self.root}/{key}"

    def polars_options(self) -> dict[str, str] | None:
        """See `ObjectStore.polars_options`."""
        return _without_empty(
            {
                "aws_endpoint_url": self._endpoint,
                "aws_region": self._region,
                "aws_access_key_id": self._key,
                "aws_secret_access_key": self._secret,
                "aws_allow_http": "true" if self._endpoint.startswith("http://") else "",
            }
        )

    def iceberg_properties(self) -> dict[str, str]:
        """See `ObjectStore.iceberg_properties`."""
        return _without_empty(
            {
                "s3.endpoint": self._endpoint,
                "s3.region": self._region,
                "s3.access-key-id": self._key,
                "s3.secret-access-key": self._secret,
            }
        )

    def _named(self) -> _NamedS3Errors:
        return _NamedS3Errors(self.root, self._endpoint)


class _NamedS3Errors:
    """Turns what boto3 raises into an error that names the lake, the endpoint and the mend."""

    def __init__(self, root: str, endpoint: str) -> None:
        self._what = f"the lake at {root}" + (f" ({endpoint})" if endpoint else "")

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, BotoCoreError | ClientError):
            raise StoreError(
                f"can't reach {self._what}: {error}"
                " (check STOCK_PLATFORM_LAKE_URL, STOCK_PLATFORM_S3_* and that the bucket exists)"
            ) from error


def _without_empty(options: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}

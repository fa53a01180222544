"""The environment of a dbt process: connection, lake, active source. The only writer of `DBT_*`.

How dbt is started lives in `dbt.py` (and, inside a Dagster run, in dagster-dbt); what it reads from
here, in `dbt/profiles.yml` and `dbt/macros/{settings,lake}.sql`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stock_platform.warehouse.client import DATABASE, address

if TYPE_CHECKING:
    from stock_platform.settings import Settings


def dbt_environment(settings: Settings, run_id: str | None = None) -> dict[str, str]:
    """Variables for dbt against the warehouse and the lake of `settings`.

    Every query dbt sends carries `run_id` in its `log_comment`. Values of `DBT_ENV_SECRET_*`
    are blotted out of dbt's logs wherever they occur.

    Raises:
        PlatformError: no local server runs, or the warehouse's URL is unusable.
    """
    at = address(settings)
    secret = settings.s3_secret_access_key.get_secret_value()
    endpoint = settings.s3_endpoint_url or f"https://s3.{settings.s3_region}.amazonaws.com"
    variables = {
        "DBT_CLICKHOUSE_HOST": at.host,
        "DBT_CLICKHOUSE_PORT": str(at.port),
        "DBT_CLICKHOUSE_USER": at.user,
        "DBT_CLICKHOUSE_SECURE": str(at.secure),
        "DBT_CLICKHOUSE_DATABASE": DATABASE,
        "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": at.password,
        "DBT_LAKE_ROOT": settings.lake_root,
        "DBT_SOURCE": settings.source,
        "DBT_S3_ENDPOINT": endpoint,
        "DBT_S3_KEY": settings.s3_access_key_id,
        "DBT_S3_SECRET": secret,
        "DBT_ENV_SECRET_S3": secret,
        "DBT_RUN_ID": run_id or "",
    }
    if settings.embedded_warehouse:
        # A model uses every core by itself: more at once only hold up who reads meanwhile.
        variables["DBT_THREADS"] = str(min(max(os.cpu_count() or 2, 2), 4))
    return {name: value for name, value in variables.items() if value}

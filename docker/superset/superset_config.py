"""Superset's configuration, the same in `.venv-superset` and in the container.

Where things are comes from the environment: `stock_platform/superset/service.py` makes it locally,
docker/compose.yaml in containers. Nothing here is secret, and nothing calls home.
"""

import os
from pathlib import Path

HOME = Path(os.environ["SUPERSET_HOME"])

# --- where Superset keeps its own ------------------------------------------------------------

SECRET_KEY = os.environ["SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ.get("SUPERSET_DATABASE", f"sqlite:///{HOME}/superset.db")
PREVENT_UNSAFE_DB_CONNECTIONS = True

# One process with threads, so that its memory is the cache; `dashboards` in the asset graph drops
# what is cached of a dataset when its mart changes.
_CACHE = {"CACHE_TYPE": "SimpleCache", "CACHE_DEFAULT_TIMEOUT": 86_400, "CACHE_THRESHOLD": 2_000}
CACHE_CONFIG = _CACHE
DATA_CACHE_CONFIG = _CACHE
FILTER_STATE_CACHE_CONFIG = _CACHE
EXPLORE_FORM_DATA_CACHE_CONFIG = _CACHE
STORE_CACHE_KEYS_IN_METADATA_DB = True
RATELIMIT_STORAGE_URI = "memory://"

# --- the warehouse ---------------------------------------------------------------------------


def DB_CONNECTION_MUTATOR(uri, params, username, security_manager, source):  # noqa: ANN001, ANN201, ARG001, N802
    """Put address, user and password of the warehouse in: assets and metadata hold none of them."""
    if uri.drivername.startswith("clickhousedb") and uri.host == "warehouse":
        uri = uri.set(
            host=os.environ["SUPERSET_WAREHOUSE_HOST"],
            port=int(os.environ["SUPERSET_WAREHOUSE_PORT"]),
            username=os.environ["SUPERSET_WAREHOUSE_USER"],
            password=os.environ["SUPERSET_WAREHOUSE_PASSWORD"],
        )
        if os.environ.get("SUPERSET_WAREHOUSE_SECURE") == "1":
            uri = uri.update_query_dict({"secure": "true"})
        if os.environ.get("SUPERSET_WAREHOUSE_READONLY") == "1":
            uri = uri.update_query_dict({"readonly": "2"})
    return uri, params


SQLLAB_TIMEOUT = 60
SUPERSET_WEBSERVER_TIMEOUT = 60
ROW_LIMIT = 10_000
SQL_MAX_ROW = 100_000
PREFERRED_DATABASES = ["ClickHouse Connect (Superset)"]

# --- who sees what ---------------------------------------------------------------------------

# Without a login: the published dashboards that are given to the role Public, and nothing else.
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = "Public"
WTF_CSRF_ENABLED = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "script-src": ["'self'", "'strict-dynamic'", "'unsafe-eval'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
}
FEATURE_FLAGS = {
    "DASHBOARD_RBAC": True,
    "DASHBOARD_VIRTUALIZATION": False,
    "DRILL_TO_DETAIL": True,
    "ALERT_REPORTS": False,
    "THUMBNAILS": False,
}

# --- offline -------------------------------------------------------------------------------

MAPBOX_API_KEY = ""
SCARF_ANALYTICS = False
BUG_REPORT_URL = None
DOCUMENTATION_URL = None
EXTRA_CATEGORICAL_COLOR_SCHEMES = [
    {
        "id": "okabe_ito",
        "label": "Okabe and Ito",
        "description": "Eight colours that the colour-blind can tell apart (Okabe, Ito 2008).",
        "isDefault": True,
        "colors": [
            *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
            *("#E69F00", "#56B4E9", "#7F7F00", "#000000"),
        ],
    }
]
EXTRA_SEQUENTIAL_COLOR_SCHEMES = [
    {
        "id": "blue_white_orange",
        "label": "Blue, white, orange",
        "description": "From one side of a middle to the other, for the colour-blind too.",
        "isDiverging": True,
        "colors": ["#0072B2", "#7FB8D8", "#FFFFFF", "#EAAE7F", "#D55E00"],
    },
    {
        "id": "orange_to_blue",
        "label": "Orange to blue",
        "description": "From missing to complete.",
        "isDiverging": True,
        "colors": ["#D55E00", "#F5D9C7", "#D3E6F2", "#0072B2"],
    },
]
D3_FORMAT = {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""]}
LOGO_TOOLTIP = ""
APP_NAME = "Stock platform"
THEME_DEFAULT = {
    "token": {
        "brandAppName": APP_NAME,
        "brandLogoAlt": APP_NAME,
        "brandLogoUrl": "/static/assets/images/superset-logo-horiz.png",
        "brandLogoMargin": "18px 0",
        "brandLogoHref": "/",
        "brandLogoHeight": "24px",
        "colorPrimary": "#00598C",
        "colorLink": "#00598C",
        "fontUrls": [],
        "fontFamily": "Inter, Helvetica, Arial, sans-serif",
    },
    "algorithm": "default",
}
THEME_DARK = None

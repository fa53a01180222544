"""What the read-only user may not do or reach, beyond the engine's role and `readonly = 2`.

The engine refuses the reader's writes and foreign sources (files, URLs, S3, ...) by its role. Left
to this module: other users' queries in `system`, the function `file`, statements that control the
server, and settings that lift a limit. Names are looked for twice, in the text's tokens and in the
engine's own syntax tree, because each alone has blind spots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from stock_platform.warehouse.server.engine import Connection
from stock_platform.warehouse.server.errors import ACCESS_DENIED, READONLY, ServerError
from stock_platform.warehouse.server.lexer import Token
from stock_platform.warehouse.server.request import Request
from stock_platform.warehouse.server.roles import READER
from stock_platform.warehouse.server.statement import Statement

_HEADS = frozenset(
    {"(", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "FROM", "SELECT", "SET", "SHOW", "USE", "WITH"}
)
_SESSION = ("SET", "USE")
_WRITING = ("MUTATING", "MUTATING_GLOBAL", "CONTROL")
_SHOW = frozenset(
    {
        "COLUMNS",
        "CREATE",
        "DATABASES",
        "DICTIONARIES",
        "ENGINES",
        "EXTENDED",
        "FIELDS",
        "FULL",
        "FUNCTIONS",
        "INDEX",
        "INDEXES",
        "INDICES",
        "KEYS",
        "SCHEMAS",
        "SETTINGS",
        "TABLE",
        "TABLES",
        "TEMPORARY",
    }
)

_SYSTEM_TABLES = frozenset(
    {
        "aggregate_function_combinators",
        "asynchronous_metrics",
        "build_options",
        "collations",
        "columns",
        "completions",
        "constraints",
        "contributors",
        "current_roles",
        "data_skipping_indices",
        "data_type_families",
        "database_engines",
        "databases",
        "dictionaries",
        "documentation",
        "enabled_roles",
        "events",
        "formats",
        "functions",
        "keywords",
        "licenses",
        "merge_tree_settings",
        "metrics",
        "numbers",
        "numbers_mt",
        "one",
        "parts",
        "parts_columns",
        "primes",
        "projections",
        "settings",
        "settings_changes",
        "table_engines",
        "table_functions",
        "tables",
        "time_zones",
        "zeros",
        "zeros_mt",
    }
)
"""Tables of `system` without other users' queries, errors or credentials; the only paths they show
are those of the warehouse's own data."""

_TABLE_FUNCTIONS = frozenset(
    {
        "dictionary",
        "format",
        "generate_series",
        "generaterandom",
        "generateseries",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "sqlstandardvalues",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    }
)
"""Table functions that read nothing but their arguments and what the query may read anyway."""

_READS_FILES = "file"
"""Also an ordinary function, which no role forbids and which may be passed on by name."""

_LIFTING = frozenset(
    {
        "additional_result_filter",
        "additional_table_filters",
        "allow_ddl",
        "allow_experimental_eval_table_function",
        "allow_experimental_parallel_reading_from_replicas",
        "allow_introspection_functions",
        "cluster_for_parallel_replicas",
        "database",
        "dialect",
        "distributed_cache_client_id",
        "enable_parallel_replicas",
        "filter",
        "format_avro_schema_registry_url",
        "format_schema",
        "function_implementation",
        "implicit_select",
        "implicit_table_at_top_level",
        "input_format_record_errors_file_path",
        "max_untracked_memory",
        "order",
        "output_format_schema",
        "polyglot_dialect",
        "profile",
        "promql_database",
        "promql_table",
        "readonly",
        "rename_files_after_processing",
        "reserve_memory",
        "s3_base",
        "select",
        "sort",
        "url_base",
    }
)
_LIFTING_PREFIXES = (
    "max_memory_usage",
    "memory_",
    "param_",
    "format_template_",
    "format_schema_",
    "ai_function_",
    "trace_profile_",
)

_NODE = re.compile(
    # An alias may hold anything, also line breaks.
    r"^ *(Function|Identifier|TableIdentifier) (.+?)(?: \((?:alias|children) .*)?$",
    re.MULTILINE,
)


class ReaderGuard:
    """Checks one user's requests; `table_functions` are all that the engine knows."""

    def __init__(self, table_functions: Iterable[str]) -> None:
        known = {name.lower() for name in table_functions}
        self._forbidden = (known - _TABLE_FUNCTIONS) | {_READS_FILES}

    def check_request(self, request: Request) -> None:
        """Refuse URL settings and a database the reader may not choose.

        Raises:
            ServerError: one of them is.
        """
        _check_settings(request.settings)
        _check_database(request.database)

    def check_statement(
        self, kind: str, statement: Statement | None, connection: Connection, request: Request
    ) -> None:
        """Refuse a statement.

        Raises:
            ServerError: it writes, controls the server, or reaches past the warehouse's tables.
        """
        head = statement.head if statement is not None else "INSERT"
        if statement is None or head not in _HEADS or (kind in _WRITING and head not in _SESSION):
            raise _denied("this statement: the user may only read")
        found = statement.found
        _check_settings(_settings_in(found))
        self._check_tokens(found)
        if any(token.is_word("IDENTIFIER") for token in found):
            for value in request.params.values():
                for part in value.lower().split("."):
                    if part == "system" or part in self._forbidden:
                        raise _denied(f"the identifier {value}")
        if head == "SET":
            if len(found) < 3 or found[2].text != "=":
                raise _denied("SET of anything but settings")
        elif head in ("SHOW", "USE") and any(token.text in "({" for token in found):
            raise _denied(f"an expression or a parameter in {head}, which hides a name")
        elif head == "USE":
            _check_database(found[-1].name)
        elif head == "SHOW":
            words = [token.text.upper() for token in found]
            if len(words) < 2 or words[1] not in _SHOW or "PROCESSLIST" in words:
                raise _denied("this SHOW")
        else:
            self._check_tree(statement, connection, request)

    def _check_tokens(self, found: list[Token]) -> None:
        names = [token.name if token.kind in ("word", "quoted") else "" for token in found]
        for at, name in enumerate(names):
            after = found[at + 1].text if at + 1 < len(found) else ""
            if name.lower() == _READS_FILES and (at == 0 or found[at - 1].text != "."):
                raise _denied(f"the function {name}")
            if name.lower() == "system":
                known = after == "." and at + 2 < len(found)
                _check_system(found[at + 2].name if known else "")
            elif name and after == "(":
                self._check_function(name)

    def _check_tree(self, statement: Statement, connection: Connection, request: Request) -> None:
        sql = f"EXPLAIN AST {statement.body}".encode("utf-8", "surrogateescape")
        answer = connection.run(sql, "TabSeparatedRaw", request.params)
        tree = answer.bytes().decode(errors="replace")
        if "ColumnsApplyTransformer" in tree:
            raise _denied("APPLY, which hides what it calls")
        for kind, name in _NODE.findall(tree):
            if kind == "Function":
                self._check_function(name)
            elif name.lower().startswith("system."):
                _check_system(name.split(".")[1])
            elif kind == "Identifier" and name.lower() == _READS_FILES:
                raise _denied(f"the function {name}")

    def _check_function(self, name: str) -> None:
        if name.lower() in self._forbidden:
            raise _denied(f"the function {name}")


def _settings_in(found: list[Token]) -> Iterator[str]:
    """Names after SETTINGS or SET and after every comma that follows; rather too many than few."""
    inside = False
    for token, after in pairwise(found):
        keyword = token.is_word("SETTINGS", "SET")
        inside = inside or keyword
        if keyword or (inside and token.text == ","):
            yield after.name


def _check_settings(names: Iterable[str]) -> None:
    for name in names:
        low = name.lower()
        if low in _LIFTING or low.startswith(_LIFTING_PREFIXES):
            raise ServerError(READONLY, f"Cannot modify '{name}' setting in readonly mode")


def _check_database(name: str) -> None:
    if name.lower() == "system":
        raise _denied("system as the current database")


def _check_system(table: str) -> None:
    if table.lower() not in _SYSTEM_TABLES:
        raise _denied(f"system.{table}" if table else "the database system")


def _denied(what: str) -> ServerError:
    return ServerError(ACCESS_DENIED, f"{READER}: Not enough privileges for {what}")

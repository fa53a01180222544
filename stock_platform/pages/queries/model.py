"""Questions about who speaks: the promotion ledger."""

from __future__ import annotations

from stock_platform.pages.reading import Query


def promotions(source: str) -> Query:
    """Every decision of a source, in the order in which decisions take effect."""
    return Query(
        "SELECT decided_at, data_as_of, pool, action, model_name, model_version, model_digest,"
        " challenger_name, challenger_version, previous_name, previous_version, actor, reason,"
        " evidence, decision_id FROM promotions WHERE source = {source:String}"
        " ORDER BY data_as_of, decided_at, decision_id",
        {"source": source},
    )

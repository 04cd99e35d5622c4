"""Hot queries are answered from an index, in its order, however large their tables are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

import psycopg2
import pytest

from pulse_cli.stack.model import ServiceName
from services.events import store as events
from services.kit.db import Query, dsn
from services.kit.ids import new_id
from services.messaging import store as messaging
from services.notifications import store as notifications
from tests.conftest import RunningStack
from tests.connected.people import settings_of

ID = new_id()
OF_USER = {"user_id": ID, "before": ID, "limit": 21}


@pytest.mark.parametrize(
    ("service", "query", "params"),
    [
        ("messaging", messaging._CONVERSATIONS, OF_USER),
        ("messaging", messaging._CONVERSATION_OF_TWO, {"member_ids": [ID, ID]}),
        ("messaging", messaging._MESSAGES, {"conversation_id": ID, "before": ID, "limit": 21}),
        ("messaging", messaging._MESSAGES, {"conversation_id": ID, "before": None, "limit": 21}),
        ("messaging", messaging._MESSAGE_BY_KEY, {"sender_id": ID, "key": "k"}),
        ("notifications", notifications._OF_USER, OF_USER),
        ("notifications", notifications._UNREAD, {"user_id": ID}),
        ("notifications", notifications._READ_ALL, {"user_id": ID}),
        ("events", events._UPCOMING, {"limit": 21}),
        (
            "events",
            events._UPCOMING_AFTER,
            {"starts_at": datetime.now(UTC), "id": ID, "limit": 21},
        ),
        ("events", events._BY_KEY, {"creator_id": ID, "key": "k"}),
    ],
    ids=lambda value: value.name if isinstance(value, Query) else "",
)
def test_a_hot_query_uses_an_index(
    stack: RunningStack, service: ServiceName, query: Query, params: Mapping[str, object]
) -> None:
    settings = settings_of(service, stack.stack, stack.state)
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        # The tables are small here, and reading them whole would be cheapest.
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {query.sql}", params)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    assert "Index Cond" in plan, plan

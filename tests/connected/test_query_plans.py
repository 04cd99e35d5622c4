"""Hot queries are answered from an index, in its order, however large their tables are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

import psycopg2
import pytest

from pulse_cli.stack.model import ServiceName
from pulse_sdk.contract.events import EventsQuery
from services.events import answers
from services.events import store as events
from services.kit.db import Query, dsn
from services.kit.ids import new_id
from services.messaging import mail
from services.messaging import store as messaging
from services.notifications import store as notifications
from services.users import store as users
from tests.conftest import RunningStack
from tests.connected.people import settings_of

ID = new_id()
NOW = datetime.now(UTC)
OF_USER = {"user_id": ID, "before": ID, "limit": 21}
OF_CONVERSATION = {"user_id": ID, "conversation_id": ID}


@pytest.mark.parametrize(
    ("service", "query", "params"),
    [
        ("messaging", messaging._CONVERSATIONS, OF_USER),
        ("messaging", messaging._CONVERSATION_OF_TWO, {"member_ids": [ID, ID]}),
        ("messaging", messaging._CONVERSATION, OF_CONVERSATION),
        ("messaging", messaging._AUDIENCE, OF_CONVERSATION),
        ("messaging", mail._MESSAGES, {"conversation_id": ID, "before": ID}),
        ("messaging", mail._MESSAGES, {"conversation_id": ID, "before": None}),
        ("messaging", mail._BY_KEY, {"user_id": ID, "key": "k"}),
        ("messaging", mail._DELIVERIES, {"user_id": ID, "after": 1}),
        ("messaging", mail._POSITIONS, {"user_ids": [ID]}),
        ("messaging", mail._MARK_READ, {**OF_CONVERSATION, "message_id": ID}),
        ("messaging", mail._UNREAD, {"user_id": ID}),
        ("users", users._BY_PREFIX, {"prefix": "ada", "after": "", "count": 21}),
        ("users", users._BY_IDS, {"ids": [ID]}),
        ("users", users._ACCOUNT_BY_LOGIN, {"login": "ada"}),
        ("notifications", notifications._OF_USER, OF_USER),
        ("notifications", notifications._UNREAD_OF_USER, OF_USER),
        ("notifications", notifications._UNREAD, {"user_id": ID}),
        ("notifications", notifications._READ_ALL, {"user_id": ID}),
        ("events", *events.listed(EventsQuery(), None)),
        ("events", *events.listed(EventsQuery(starts_after=NOW, starts_before=NOW), (NOW, ID))),
        ("events", events._BY_KEY, {"creator_id": ID, "key": "k"}),
        ("events", events._DUE, {}),
        ("events", answers._ATTENDEES, {"id": ID, "answer": "yes", "limit": 21}),
        (
            "events",
            answers._ATTENDEES_AFTER,
            {"id": ID, "answer": "waiting", "after": NOW, "after_id": ID, "limit": 21},
        ),
        ("events", answers._ANSWER_OF, {"id": ID, "user_id": ID}),
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
        cursor.execute(f"EXPLAIN {query.sql}", {"limit": 21, **params})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    assert "Index Cond" in plan, plan


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (EventsQuery(text="tea"), "events_words"),
        (EventsQuery(place="berlin"), "events_place_words"),
        (EventsQuery(south=52, north=53, west=13, east=14), "events_position"),
    ],
    ids=["text", "place", "position"],
)
def test_what_events_are_searched_by_has_an_index(
    stack: RunningStack, wanted: EventsQuery, index: str
) -> None:
    settings = settings_of("events", stack.stack, stack.state)
    query, params = events.listed(wanted, None)
    with closing(psycopg2.connect(dsn(settings))) as connection, connection.cursor() as cursor:
        # Small tables again: the order of time would be read, and all else filtered out.
        cursor.execute("SET enable_seqscan = off; SET enable_indexscan = off")
        sql = query.sql.replace("starts_at > now()", "true")
        cursor.execute(f"EXPLAIN {sql}", {**params, "limit": 21})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert index in plan, plan

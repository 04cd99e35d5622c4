import logging

import pytest

from services.kit.observe import _JsonFormatter
from services.kit.tracing import begin, exporting, trace_id, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_a_collector_the_context_is_passed_on_as_it_came() -> None:
    assert not exporting()
    span = begin("GET /", "SERVER", PARENT)
    assert span is not None
    assert (traceparent.get(), trace_id()) == (PARENT, "0af7651916cd43dd8448eb211c80319c")
    span.end({"http.response.status_code": 200})
    assert (traceparent.get(), trace_id()) == (None, None)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        PARENT.upper(),
        PARENT.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "x" * 100_000,
    ],
)
def test_what_is_no_context_is_ignored(header: str) -> None:
    assert begin("GET /", "SERVER", header) is None
    assert traceparent.get() is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    span = begin("GET /", "SERVER", "01" + PARENT[2:] + "-more")
    assert span is not None
    assert traceparent.get() == "01" + PARENT[2:]
    span.end({})


def test_a_line_of_the_log_tells_its_trace() -> None:
    record = logging.LogRecord("a", logging.INFO, "a.py", 1, "said", (), None)
    assert "trace_id" not in _JsonFormatter("posts", 0).format(record)
    span = begin("GET /", "SERVER", PARENT)
    assert span is not None
    line = _JsonFormatter("posts", 0).format(record)
    span.end({})
    assert '"trace_id":"0af7651916cd43dd8448eb211c80319c"' in line

"""What a master's REST API answers, where there is no master: as it was before and after one build."""

import json
from typing import Any

from tests.web import Answer

ROWS: dict[str, list[dict[str, Any]]] = {
    "masters": [{"masterid": 1, "name": "m", "active": True}],
    "builders": [{"builderid": 1, "name": "b"}],
    "workers": [{"workerid": 1, "name": "w", "connected_to": [], "workerinfo": {}}],
    "changes": [{"changeid": 1, "author": "a", "files": ["f"], "when_timestamp": 1}],
    "buildrequests": [
        {"buildrequestid": 1, "buildsetid": 1, "builderid": 1, "complete": True, "claimed_by_masterid": 1}
        | {"results": 0, "submitted_at": 1}
    ],
    "buildsets": [{"bsid": 1, "reason": "r", "sourcestamps": [{"codebase": ""}]}],
    "builds": [
        {"buildid": 1, "number": 1, "builderid": 1, "buildrequestid": 1, "workerid": 1, "masterid": 1}
        | {"complete": True, "results": 0, "state_string": "done", "started_at": 1, "complete_at": 2}
        | {"properties": {"p": ["v", "s"]}}
    ],
    "steps": [{"stepid": 1, "name": "s", "number": 0, "started_at": 1, "complete": True, "urls": []}],
    "logs": [{"logid": 1, "name": "l", "complete": True}],
}
"""A master after a build: what it has of each resource."""


def master_answer(path: str, *, filled: bool, rows: dict[str, list[dict[str, Any]]] = ROWS) -> Answer:
    """Give the answer to a request, before the build or (`filled`) after it."""
    where, _, query = path.partition("?")
    resource = where.rpartition("/")[2]
    is_there = filled or resource in ("masters", "builders")
    found = rows.get(resource, []) if is_there else []
    if "__gt=1&" in query or "complete=false" in query:
        found = []
    return 200, "application/json", json.dumps({resource: found, "meta": {}}).encode()

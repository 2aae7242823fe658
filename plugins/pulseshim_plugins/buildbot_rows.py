"""What rows of a master are joined with: builders, workers, masters, requests, buildsets."""

from collections.abc import Iterable, Sequence

from pulseshim_plugins.buildbot_client import Client
from pulseshim_shims.buildbot_event import Master
from pulseshim_shims.buildbot_payload import Row

_KEPT = 2000


class Rows:
    """The rows that others are joined with, remembered for as long as they are likely to be needed again.

    Only what never changes is taken from memory: names, the buildset of a request, its source stamps.
    `server` is what names the master in identities.
    """

    def __init__(self, client: Client, server: str, incarnation: str) -> None:
        self._client = client
        self._server = server
        self._incarnation = incarnation
        self._names: dict[str, dict[int, str]] = {}
        self._requests: dict[int, Row] = {}
        self._buildsets: dict[int, Row] = {}

    def master(self, masterid: int | None = None) -> Master:
        """Give a master by its number; without one, the first that is active."""
        names = self._names.get("masters")
        if names is None or (masterid is not None and masterid not in names):
            rows = sorted(self._client.rows("masters"), key=lambda row: (not row["active"], row["masterid"]))
            names = self._names["masters"] = {row["masterid"]: row["name"] for row in rows}
        first = next(iter(names.values()), "")
        name = first if masterid is None else names.get(masterid, first)
        return Master(server=self._server, url=self._client.base, name=name, incarnation=self._incarnation)

    def builder(self, builderid: int) -> str:
        """Give the name of a builder; its number where the master has forgotten it."""
        return self._name("builders", "builderid", builderid)

    def worker(self, workerid: int) -> str:
        """Give the name of a worker; its number where the master has forgotten it."""
        return self._name("workers", "workerid", workerid)

    def _name(self, resource: str, field: str, number: int) -> str:
        names = self._names.setdefault(resource, {})
        if number not in names:
            names.update({row[field]: row["name"] for row in self._client.rows(resource)})
            names.setdefault(number, str(number))
        return names[number]

    def remember(self, requests: Iterable[Row]) -> None:
        """Keep requests that were read already."""
        if len(self._requests) > _KEPT or len(self._buildsets) > _KEPT:
            self._requests.clear()
            self._buildsets.clear()
        self._requests.update({row["buildrequestid"]: row for row in requests})

    def buildsets(self, requests: Sequence[Row]) -> dict[int, Row]:
        """Give the buildset of each request, by its number; one that is gone is empty."""
        missing = {row["buildsetid"] for row in requests} - self._buildsets.keys()
        if missing:
            found = self._client.among("buildsets", "bsid", missing)
            self._buildsets.update({row["bsid"]: row for row in found})
        return {row["buildsetid"]: self._buildsets.get(row["buildsetid"], {}) for row in requests}

    def buildsets_of(self, builds: Sequence[Row]) -> dict[int, Row]:
        """Give the buildset of each build, by the number of its request; one that is gone is empty."""
        wanted = {row["buildrequestid"] for row in builds}
        requests = [self._requests[number] for number in wanted & self._requests.keys()]
        missing = wanted - self._requests.keys()
        if missing:
            read = self._client.among("buildrequests", "buildrequestid", missing)
            self.remember(read)  # which may forget those of before
            requests += read
        buildsets = self.buildsets(requests)
        found = {row["buildrequestid"]: buildsets[row["buildsetid"]] for row in requests}
        return {number: found.get(number, {}) for number in wanted}

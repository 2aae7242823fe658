"""Builds: from what the master's state is, and what was announced, to what is to be announced.

A build goes from `seen` over `started` and `finished` to its end, `log_uploaded`, one event a step. Where it
is stands in the state beside its number, until it has gone the way.
"""

from collections.abc import Iterator, Sequence

from pulseshim import State
from pulseshim_plugins.buildbot_client import Client
from pulseshim_plugins.buildbot_cursor import SEEN, new_rows
from pulseshim_plugins.buildbot_rows import Rows
from pulseshim_shims.buildbot_event import BuildEvent, BuildState, StepEvent, StepState
from pulseshim_shims.buildbot_payload import Row

BUILDS = "builds"

_ID = "buildid"
_ALL_PROPERTIES = ("property", "*")
_KEPT = 500


class Builds:
    """The builds of a master that are not all announced yet."""

    def __init__(self, client: Client, state: State, rows: Rows, *, steps: bool) -> None:
        self._client = client
        self._state = state
        self._rows = rows
        self._with_steps = steps
        self._changes: dict[int, list[Row]] = {}

    def begin(self) -> None:
        """Take note of where the master is: builds that run are to be announced, those before are not."""
        last = self._client.last(BUILDS, _ID)
        running = [row[_ID] for row in self._client.rows(BUILDS, [("complete", False)]) if row[_ID] <= last]
        self._state.set("cursor", {**self._state.get("cursor"), BUILDS: str(last)})
        self._state.set(BUILDS, dict.fromkeys(map(str, running), SEEN))

    def look(self, now: int, numbers: set[int] | None = None) -> Iterator[BuildEvent | StepEvent]:
        """Give what is to be announced: of the builds with these numbers, or of all."""
        known = set(map(int, self._state.get(BUILDS)))
        open_ones = sorted(known if numbers is None else known & numbers)
        for at in range(0, len(open_ones), 100):
            part = open_ones[at : at + 100]
            found = self._client.among(BUILDS, _ID, part, _ALL_PROPERTIES)
            yield from self._advance_all(found)
            for number in set(part) - {row[_ID] for row in found}:
                self._leave(number)  # the master has forgotten it
        if numbers is None or numbers - known:
            for page in new_rows(self._client, self._state, BUILDS, _ID, now, _ALL_PROPERTIES):
                yield from self._advance_all(page)

    def _advance_all(self, builds: Sequence[Row]) -> Iterator[BuildEvent | StepEvent]:
        buildsets = self._rows.buildsets_of(builds)
        for build in builds:
            yield from self._advance(build, buildsets[build["buildrequestid"]])

    def _advance(self, build: Row, buildset: Row) -> Iterator[BuildEvent | StepEvent]:
        """Give what a build has come to since it was looked at, one state after the other."""
        place = self._state.get(BUILDS).get(str(build[_ID]), "")
        if place == SEEN and not build["complete"] and not build.get("properties"):
            return  # its row is there, and the master is about to fill it
        steps = self._details(build, steps=build["complete"] or self._with_steps)
        if place == SEEN:
            self._set(build[_ID], "started")
            yield self._event("started", build, buildset)
            place = "started"
        if place == "started":
            yield from self._step_events(build, steps)
            if not build["complete"]:
                return
            self._set(build[_ID], "finished")
            yield self._event("finished", build, buildset, steps)
            yield from self._logs(build, buildset, steps)
        elif place == "finished":
            yield from self._logs(build, buildset, steps)

    def _logs(self, build: Row, buildset: Row, steps: Sequence[Row]) -> Iterator[BuildEvent]:
        """Give that all logs of a build are complete, if they are."""
        numbers = [step["stepid"] for step in steps]
        found = self._client.together([f"steps/{number}/logs" for number in numbers])
        logs = dict(zip(numbers, found, strict=True))
        if all(log["complete"] for part in logs.values() for log in part):
            event = self._event("log_uploaded", build, buildset, steps, logs)
            self._leave(build[_ID])
            yield event

    def _event(
        self,
        state: BuildState,
        build: Row,
        buildset: Row,
        steps: Sequence[Row] = (),
        logs: dict[int, list[Row]] | None = None,
    ) -> BuildEvent:
        return BuildEvent(
            master=self._rows.master(build["masterid"]),
            state=state,
            build=build,
            builder=self._rows.builder(build["builderid"]),
            worker=self._rows.worker(build["workerid"]),
            buildset=buildset,
            changes=self._changes[build[_ID]],
            steps=steps,
            logs=logs or {},
        )

    def _details(self, build: Row, *, steps: bool) -> list[Row]:
        """Give the steps of a build, if they are wanted, and keep its changes: they stay as they are."""
        number = build[_ID]
        paths = [f"builds/{number}/steps"] if steps else []
        if number not in self._changes:
            paths.append(f"builds/{number}/changes")
        found = self._client.together(paths)
        if number not in self._changes:
            if len(self._changes) > _KEPT:
                self._changes.clear()
            self._changes[number] = found[-1]
        return found[0] if steps else []

    def _step_events(self, build: Row, steps: Sequence[Row]) -> Iterator[StepEvent]:
        """Give what the steps of a build have come to, where that is wanted."""
        if not self._with_steps:
            return
        key = f"steps {build[_ID]}"
        master, builder = self._rows.master(build["masterid"]), self._rows.builder(build["builderid"])
        for step in steps:
            number = str(step["stepid"])
            reached: tuple[tuple[StepState, object], ...] = (
                ("started", step["started_at"]),
                ("finished", step["complete"]),
            )
            for state, is_so in reached:
                told = self._state.get(key).get(number, "").split()
                if is_so and state not in told:
                    self._state.set(key, {**self._state.get(key), number: " ".join([*told, state])})
                    yield StepEvent(master=master, state=state, build=build, builder=builder, step=step)

    def _set(self, number: int, place: str) -> None:
        self._state.set(BUILDS, {**self._state.get(BUILDS), str(number): place})

    def _leave(self, number: int) -> None:
        places = self._state.get(BUILDS)
        places.pop(str(number), None)
        self._state.set(BUILDS, places)
        self._changes.pop(number, None)
        if self._with_steps:
            self._state.set(f"steps {number}", {})

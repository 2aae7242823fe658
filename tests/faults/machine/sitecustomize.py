"""Another machine, for the processes of a fault test: its clock is set, and it dies, as a directory says.

Python imports this by itself where the directory of this file is on PYTHONPATH. `$FAULT_CONTROL` names the
directory that says it: `clock` holds how many seconds the clock is off, `die` a moment to be killed at, such
as `outbox.store before 3`: before the third commit of `outbox.store`. `deaths` is what came of it.
"""

import os
import signal
import sqlite3
import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import apscheduler.executors.base
import apscheduler.schedulers.base

CONTROL = Path(os.environ["FAULT_CONTROL"])
CONNECT = sqlite3.connect
PACKAGE = f"{os.sep}pulseshim{os.sep}"


def said(name: str) -> str:
    """Give what a file of the control directory holds; nothing where it is not there."""
    try:
        return (CONTROL / name).read_text()
    except OSError:
        return ""


def set_clock() -> None:
    """Let the clock be off by the seconds that the file `clock` holds at the time."""
    real, real_ns = time.time, time.time_ns

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: real() + float(said("clock") or 0)
    time.time_ns = lambda: real_ns() + int(float(said("clock") or 0)) * 10**9
    # APScheduler asks the clock through datetime, which asks it in C.
    for module in (apscheduler.executors.base, apscheduler.schedulers.base):
        module.datetime = Shifted


class Moment:
    """Where this process is to be killed, once it has been there often enough."""

    def __init__(self, where: str, times: int) -> None:
        self.where = where
        self.left = times

    def reached(self, where: str) -> None:
        """Be somewhere, and be killed if this is where."""
        if where != self.where:
            return
        self.left -= 1
        if self.left == 0:
            (CONTROL / "die").unlink(missing_ok=True)
            with (CONTROL / "deaths").open("a") as deaths:
                deaths.write(where + "\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of a spool file that is removed."""
        if event == "os.remove" and f"{os.sep}new{os.sep}" in os.fsdecode(arguments[0]):
            self.reached("spool.remove before")

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        """Connect to a database, and be before and after each commit there."""
        moment = self

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if statement != "COMMIT":
                    return super().execute(statement, *values)
                where = committer()
                moment.reached(f"{where} before")
                done = super().execute(statement)
                moment.reached(f"{where} after")
                return done

        connection: sqlite3.Connection = CONNECT(*arguments, factory=Connection, **options)
        return connection


def committer() -> str:
    """Give the function of pulseshim whose step is committed, with its module."""
    frame = sys._getframe()
    while frame.f_back:
        frame = frame.f_back
        path = frame.f_code.co_filename
        if PACKAGE in path and not path.endswith("database.py"):
            return f"{Path(path).stem}.{frame.f_code.co_name}"
    return ""


set_clock()
order = said("die").split()
if order:
    moment = Moment(" ".join(order[:2]), int(order[2]))
    sys.addaudithook(moment.hear)
    sqlite3.connect = moment.connect  # type: ignore[assignment] # it takes whatever the old one took

"""What `pulseshim run` costs when nothing happens."""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.node import node
from benchmarks.service import service

_SETTLE_SECONDS = 5
_SECONDS = 30
_PERCENT = 0.5
_MEBIBYTES = 80


def measure() -> list[Row]:
    """Give the rows of processor and memory."""
    with tempfile.TemporaryDirectory() as directory, node() as broker:
        root = Path(directory).resolve()
        with service(root, broker.port) as running:
            time.sleep(_SETTLE_SECONDS)
            before = processor_seconds(running.process)
            time.sleep(_SECONDS)
            percent = (processor_seconds(running.process) - before) / _SECONDS * 100
            mebibytes = _resident_mebibytes(running.process)
    return [
        Row("run, idle: processor", "under 0.5 % of a core", f"{percent:.2f} %", "", percent < _PERCENT),
        Row("run, idle: memory", "under 80 MiB", f"{mebibytes:.0f} MiB", "", mebibytes < _MEBIBYTES),
    ]


def processor_seconds(process: int) -> float:
    """Give the seconds of processor that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mebibytes(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0

"""A site for the runtime."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.unit.runtime.runtime_site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(tmp_path / "store", stack)
        yield site
        for runtime in site.runtimes:
            for publisher in site.publishers.values():
                publisher.unblock()
            if any(thread.is_alive() for thread in (*runtime._readers, *runtime._relayers)):
                runtime.stop()

"""`check` on a site where everything is right, and where one thing is not."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Site
    from tests.conftest import VirtualHost

pytestmark = pytest.mark.broker


def found(site: "Site") -> tuple[int, list[dict[str, Any]]]:
    """Give the exit code of `check` and the problems it found."""
    done = site.pulseshim("check", "--json")
    problems: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, problems


def test_nothing_is_wrong_where_nothing_is(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """A site that has announced a push passes, and no message comes of the checking."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue("exchange/gitpushes/v1")
    site.push("one")
    site.pulseshim("drain")

    checked = site.pulseshim("check")

    assert (checked.returncode, checked.stdout) == (0, "nothing is wrong\n")
    assert len(vhost.take(queue)) == 1


def test_a_ref_that_changed_without_a_push_is_reported(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """What `git update-ref` did on the server is named; a push through the hook goes on as ever."""
    site = make_site(vhost.url)
    first = site.push("one")
    site.push("two")
    site.pulseshim("drain")
    site.git("update-ref", "refs/heads/main", first, directory=site.repository)

    code, problems = found(site)

    (problem,) = problems
    assert (code, problem["severity"]) == (0, "warning")
    assert "refs/heads/main" in problem["text"]
    assert str(site.repository) == problem["subject"]


def test_a_hook_that_is_gone_is_an_error(make_site: Callable[..., "Site"], vhost: "VirtualHost") -> None:
    """Pushes would no longer be recorded: check exits 1 and says how to install it."""
    site = make_site(vhost.url)
    site.push("one")
    site.pulseshim("drain")
    (site.repository / "hooks" / "post-receive").unlink()

    code, problems = found(site)

    (problem,) = problems
    assert (code, problem["severity"]) == (1, "error")
    assert "hook install git" in problem["remedy"]


def test_a_private_repository_is_counted_and_never_published(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """Its pushes are seen in the counters of `status`, and nowhere else."""
    site = make_site(vhost.url)
    queue = vhost.bind_queue("exchange/gitpushes/v1")
    site.git("config", "pulseshim.url", "", directory=site.repository)
    site.push("not for others")

    drained = site.pulseshim("drain")

    assert drained.returncode == 0
    assert vhost.take(queue) == []
    assert site.status()["counters"] == [{"feed": "git", "name": "private", "count": 1}]


def test_parked_items_and_a_waiting_spool_are_warnings(
    make_site: Callable[..., "Site"], vhost: "VirtualHost"
) -> None:
    """Check names both with the verb that helps."""
    site = make_site(vhost.url)
    site.pulseshim("emit", "nonesuch", "--strict")
    site.pulseshim("drain")
    site.push("one")

    code, problems = found(site)

    remedies = {problem["remedy"] for problem in problems}
    assert code == 0
    assert "pulseshim parked list" in remedies
    assert any("drain" in remedy for remedy in remedies)

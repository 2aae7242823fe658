"""Who wrote what is parked, as a person reads it."""

from collections.abc import Sequence

from pulseshim.user import User


def owner_name(owner: int | None) -> str | None:
    """Give the name of a user by number, None where nobody is known."""
    return None if owner is None else User(owner).name


def by_owner(counts: Sequence[tuple[int | None, int]]) -> str:
    """Give how many there are by each user, as a phrase."""
    return ", ".join(f"{count} by {_named(owner)}" for owner, count in counts)


def _named(owner: int | None) -> str:
    if owner is None:
        return "a user who is not known"
    return f"user {User(owner)}"

"""Who wrote what is parked, as a person reads it."""

from collections.abc import Sequence

from pulseshim.writer import user_name


def owner_name(owner: int | None) -> str | None:
    """Give the name of a user by number, None where nobody is known."""
    return None if owner is None else user_name(owner)


def by_owner(counts: Sequence[tuple[int | None, int]]) -> str:
    """Give how many there are by each user, as a phrase."""
    return ", ".join(f"{count} by {_named(owner)}" for owner, count in counts)


def _named(owner: int | None) -> str:
    if owner is None:
        return "a user who is not known"
    name = user_name(owner)
    return f"user {name}" if name == str(owner) else f"user {owner} ({name})"

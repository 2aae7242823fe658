"""A push as a person would like to read it."""

from collections.abc import Iterator
from typing import Any

_SHOWN = 7
_SIGNS = {"added": "+", "removed": "-", "modified": "~", "type-changed": "~"}


def lines(payload: dict[str, Any]) -> Iterator[str]:
    """Give the lines that tell a `git.push` payload."""
    who = f" by {payload['user']}" if payload["user"] else ""
    yield f"push {payload['push_id']} to {payload['repo_url']}{who}"
    for update in payload["updates"]:
        yield f"  {update['kind']} {update['name']} {_change(update)}"
        if update["tag"]:
            yield f"    “{update['tag']['message'].strip()}”"
        for commit in update["commits"]:
            yield f"    {commit['id'][:_SHOWN]} {_subject(commit)}"
            for file in commit["files"]:
                yield f"            {_file(file)}"


def _change(update: dict[str, Any]) -> str:
    words = [update["change"]]
    if update["forced"]:
        words.append("by force")
    if update["commit_count"]:
        count = update["commit_count"]
        words.append(f"{count} new commits" if count > 1 else "1 new commit")
    if update["discarded_count"]:
        words.append(f"{update['discarded_count']} discarded")
    return ", ".join(words)


def _subject(commit: dict[str, Any]) -> str:
    subject = commit["message"].partition("\n")[0]
    return f"{subject} (merge)" if len(commit["parents"]) > 1 else subject


def _file(file: dict[str, Any]) -> str:
    if file["change"] in ("renamed", "copied"):
        return f"{file['change']} {file['from']} → {file['path']}"
    return f"{_SIGNS[file['change']]} {file['path']}"

"""Options that plugins of repositories share: which are public, and templates of URLs of their pushes."""

import os
import string
from collections.abc import Collection, Mapping

from pulseshim import SettingsError
from pulseshim_plugins.git_url import is_url


def check_repositories(where: str, repositories: Mapping[str, str]) -> None:
    """Raise `SettingsError` for a prefix that is no absolute path, or is mapped to what is no URL."""
    for prefix, url in repositories.items():
        if not os.path.isabs(prefix):
            raise SettingsError(f"{where}: {prefix!r} is no absolute path", "begin it with /")
        if not is_url(url):
            raise SettingsError(f"{where}: {url!r} is no URL", "write https://host/path")


def check_template(where: str, template: str, places: Collection[str]) -> None:
    """Raise `SettingsError` for a template that has anything in braces but plain names of places."""
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise SettingsError(
            f"{where} is no template ({error})", "write a brace that is meant as {{ or }}"
        ) from None
    for _, name, format_spec, conversion in fields:
        if name not in places or format_spec or conversion:
            *first, last = (f"{{{place}}}" for place in places)
            raise SettingsError(
                f"{where} has an unknown field {{{name}}}", f"use {', '.join(first)} and {last}"
            )

"""The plugin manager: plugins of every kind of brokenness are named and left out, the others go on."""

import pytest

from pulseshim import Settings, SettingsError
from pulseshim.plugin_manager import Plugin, installed
from tests.unit.plugin_manager.installed import SOUND, Install, feeds_of, loaded, named


def test_a_plugin_gives_its_feeds_and_is_known_by_its_distribution(install: Install) -> None:
    """Entry points of the group `pulseshim` are found, first-party or not."""
    install("alpha", SOUND)

    manager = loaded("alpha")

    assert [(given.plugin, given.feed.name) for given in manager.feeds(Settings())] == [("alpha", "alpha")]
    assert manager.plugins == [Plugin("alpha", "alpha-dist", "1.2")]
    assert str(manager.plugins[0]) == "plugin alpha (alpha-dist 1.2)"


def test_our_own_plugin_comes_through_the_same_door() -> None:
    """It is registered like any other."""
    assert "git" in [entry.name for entry in installed()]


def test_plugins_are_loaded_in_the_order_of_their_names(install: Install) -> None:
    """Which one wins does not depend on the order of directories."""
    for name in ("gamma", "alpha", "beta"):
        install(name, SOUND)

    names = [entry.name for entry in installed() if entry.name in ("alpha", "beta", "gamma")]

    assert names == ["alpha", "beta", "gamma"]


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError: "),
        ("@hookimpl\ndef pulseshim_feds(settings): return []", "unknown hook 'pulseshim_feds'"),
        ("@hookimpl\ndef pulseshim_feeds(config): return []", "config"),
        ("@hookimpl\ndef pulseshim_feeds(settings): raise KeyError('url')", "KeyError: 'url'"),
        ("@hookimpl\ndef pulseshim_feeds(settings): raise SystemExit('no')", "SystemExit: no"),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): raise PulseshimError('no hg', 'install it')",
            "no hg: install it",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings):\n yield feed('NAME')\n raise OSError('gone')",
            "OSError: gone",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return ['NAME']",
            "TypeError: pulseshim_feeds must give Feed values, it gave str",
        ),
        ("@hookimpl\ndef pulseshim_feeds(settings): return 5", "TypeError: 'int' object is not iterable"),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('NAME', lambda i, s: [])]",
            "TypeError: pulseshim_feeds must give Feed values",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('No Name')]",
            "'No Name' is no name of a feed",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('NAME'), feed('NAME', HookSource(len))]",
            "ValueError: the feed broken is given twice, by broken and broken",
        ),
        (
            "@hookimpl\ndef pulseshim_feeds(settings): return [feed('alpha')]",
            "ValueError: the feed alpha is given twice, by alpha and broken",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_go_on(install: Install, source: str, failure: str) -> None:
    """Those before it in the order of names, and those behind it."""
    install("alpha", SOUND)
    install("broken", source)
    install("gamma", SOUND)

    manager = loaded("alpha", "broken", "gamma")
    feeds = feeds_of(manager)

    broken = named(manager, "broken")
    assert feeds == ["alpha", "gamma"]
    assert failure in broken.failure
    assert (broken.distribution, broken.version) == ("broken-dist", "1.2")
    assert "Traceback (most recent call last)" in broken.traceback
    assert [plugin.failure for plugin in manager.plugins if plugin.name != "broken"] == ["", ""]


def test_a_quarantine_is_logged_with_distribution_and_version(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever reads the log knows whom to write to."""
    install("broken", "import no_such_module")

    loaded("broken")

    (record,) = [record for record in caplog.records if record.message == "plugin quarantined"]
    assert record.__dict__["plugin"] == "plugin broken (broken-dist 1.2)"
    assert record.__dict__["error"].startswith("ModuleNotFoundError")


def test_a_quarantined_plugin_is_asked_no_more(install: Install) -> None:
    """Its observers are silent, too."""
    install(
        "broken",
        "@hookimpl\ndef pulseshim_feeds(settings): 1 / 0\n@hookimpl\ndef pulseshim_item_parked(parked): pass",
    )
    manager = loaded("broken")
    before = manager.observes("pulseshim_item_parked")

    manager.feeds(Settings())

    assert (before, manager.observes("pulseshim_item_parked")) == (True, False)
    assert feeds_of(manager) == []


def test_wrong_options_are_an_error_of_the_settings(install: Install) -> None:
    """A misspelt key is no fault of the plugin: a person must correct it, and nothing starts meanwhile."""
    install(
        "alpha",
        "class Options(msgspec.Struct, forbid_unknown_fields=True):\n url: str = ''\n"
        "@hookimpl\ndef pulseshim_feeds(settings):\n settings.options('NAME', Options)\n return []",
    )
    manager = loaded("alpha")

    with pytest.raises(SettingsError, match=r"plugins\.alpha\.ulr is no setting: did you mean url\?"):
        manager.feeds(Settings(plugins={"alpha": {"ulr": "x"}}))

    assert named(manager, "alpha").failure == ""


def test_a_plugin_may_give_several_feeds_of_one_name_and_source(install: Install) -> None:
    """They are one reading, for several exchanges."""
    install("alpha", "@hookimpl\ndef pulseshim_feeds(settings): return [feed('NAME'), feed('NAME')]")

    manager = loaded("alpha")

    assert feeds_of(manager) == ["alpha", "alpha"]


def test_a_plugin_without_any_hook_gives_nothing(install: Install) -> None:
    """It does no harm."""
    install("alpha", "")

    manager = loaded("alpha")

    assert (feeds_of(manager), named(manager, "alpha").failure) == ([], "")

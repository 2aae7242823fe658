"""Settings from the environment: they win over the file, and are read as strictly."""

from pathlib import Path

import pytest

from pulseshim import Settings
from pulseshim.settings import AccountSettings, BrokerSettings, load
from tests.unit.settings.settings_file import refusal, write


def test_the_environment_wins_over_the_file_and_leaves_the_rest(here: Path) -> None:
    """One key of a table may come from there, and the others from the file."""
    path = write(here / "pulseshim.toml", "[broker]\nuser = 'file'\nwindow = 7\n[log]\nlevel = 'error'")

    settings = load(path, {"PULSESHIM_BROKER__USER": "environment", "PULSESHIM_LOG__FORMAT": "json"})

    assert (settings.broker.user, settings.broker.window) == ("environment", 7)
    assert (settings.log.level, settings.log.format) == ("error", "json")
    assert settings.origin == path


@pytest.mark.usefixtures("here")
def test_numbers_booleans_lists_and_tables_may_come_from_the_environment() -> None:
    """What the environment holds is text; it becomes what the key takes."""
    settings = load(
        None,
        {
            "PULSESHIM_BROKER__WINDOW": "5",
            "PULSESHIM_BROKER__ALLOW_PLAINTEXT": "true",
            "PULSESHIM_BROKER__URL": '["amqps://one/", "amqps://two/"]',
            "PULSESHIM_BROKER__ACCOUNTS": '{code = {user = "hg"}}',
            "PULSESHIM_METRICS__PORT": "0",
        },
    )

    assert settings.broker == BrokerSettings(
        window=5,
        allow_plaintext=True,
        url=["amqps://one/", "amqps://two/"],
        accounts={"code": AccountSettings(user="hg")},
    )
    assert settings.metrics.port == 0


@pytest.mark.usefixtures("here")
def test_a_text_that_looks_like_a_number_stays_text_where_text_is_due() -> None:
    """A user may be called 123."""
    settings = load(None, {"PULSESHIM_BROKER__USER": "123"})

    assert settings.broker.user == "123"


@pytest.mark.parametrize(
    ("name", "value", "problem", "remedy"),
    [
        ("PULSESHIM_BROKER__WINDO", "5", "broker.windo is no setting", "did you mean window?"),
        ("PULSESHIM_BROKER__WINDOW", "many", "broker.window is wrong", "expected integer, got text"),
        ("PULSESHIM_BROKER__URL__HOST", "x", "broker.url is wrong", "expected text or list, got table"),
        ("PULSESHIM_BROKER__ACCOUNTS", "{broken", "broker.accounts is wrong", "expected table, got text"),
        ("PULSESHIM_LOG__LEVEL", "loud", "log.level is wrong", "expected one of debug, info, warning, error"),
        (
            "PULSESHIM_STORE__KEEP",
            "",
            "store.keep is wrong",
            "expected a time such as 500ms, 30s, 5m, 12h or 7d",
        ),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_wrong_in_the_environment_is_said_to_be_there(
    name: str, value: str, problem: str, remedy: str
) -> None:
    """The file is not searched for it in vain."""
    error = refusal(None, {name: value})

    assert (error.problem, error.remedy) == (f"environment: {problem}", remedy)


def test_a_variable_below_a_value_of_the_file_is_named(here: Path) -> None:
    """`PULSESHIM_BROKER__USER__NAME` has no place where the file says `user = "x"`."""
    path = write(here / "pulseshim.toml", "[broker]\nuser = 'x'")

    error = refusal(path, {"PULSESHIM_BROKER__USER__NAME": "y"})

    assert error.problem == "$PULSESHIM_BROKER__USER__NAME: user is no table"


def test_a_wrong_type_in_the_file_is_wrong_beside_the_environment_too(here: Path) -> None:
    """The environment alone is read leniently."""
    path = write(here / "pulseshim.toml", "[broker]\nwindow = '5'")

    error = refusal(path, {"PULSESHIM_BROKER__USER": "x"})

    assert error.problem == f"{path}: broker.window is wrong"


@pytest.mark.parametrize(
    "name",
    [
        "PULSESHIM_BROKER_PASSWORD",
        "PULSESHIM_BROKER_PASSWORD_GIT",
        "PULSESHIM_BROKER_PASSWORD_X__Y",
        "PULSESHIM_BROKER_PASSWORD__X",
    ],
)
@pytest.mark.usefixtures("here")
def test_a_password_is_never_taken_for_a_setting(name: str) -> None:
    """It would be shown by errors and by everything that prints settings."""
    settings = load(None, {name: "secret"})

    assert settings == Settings()


@pytest.mark.usefixtures("here")
def test_the_file_of_the_password_is_a_setting() -> None:
    """Its name begins like that of the password and is none."""
    settings = load(None, {"PULSESHIM_BROKER__PASSWORD_FILE": "/etc/password"})

    assert settings.broker.password_file == "/etc/password"


@pytest.mark.usefixtures("here")
def test_variables_of_others_are_left_alone() -> None:
    """Only `PULSESHIM_` with a table behind it is a setting."""
    settings = load(
        None, {"PULSESHIM_CONFIG": "", "PULSESHIM_TEST": "1", "OTHER_BROKER__URL": "x", "HOME": "/"}
    )

    assert settings == Settings()

"""`provision` and passwords: made, renewed by `--rotate` alone, and told to nobody."""

import os
import stat

import pytest

from pulseshim.account import Account
from pulseshim.errors import BrokerDenied
from pulseshim.failover import connect
from pulseshim.password import PasswordHash, hashed, matches
from tests.acceptance.administration import Administration

pytestmark = pytest.mark.broker


def test_a_password_that_works_no_longer_is_told_and_renewed_by_rotate_alone(admin: Administration) -> None:
    """What the broker has may be somebody's: it stays, and so does the file, until --rotate."""
    admin.provision()
    admin.git.write_text("chosen by nobody\n")
    admin.hg.unlink()

    code, output = admin.provision()
    left = (admin.git.read_text(), admin.hg.exists())
    rotated, _ = admin.provision("--rotate")

    assert code == 1
    assert f"error: password of gitpushes: the broker has another than {admin.git}" in output
    assert f"error: password of hgpushes: the user is there and {admin.hg} is not" in output
    assert left == ("chosen by nobody\n", False)
    assert rotated == 0
    admin.log_in("gitpushes", admin.git).close()
    admin.log_in("hgpushes", admin.hg).close()


def test_a_file_that_is_there_gives_the_new_user_its_password(admin: Administration) -> None:
    """An administrator may choose; the file stays as it is."""
    admin.git.write_text("chosen by hand\n")

    _, output = admin.provision()

    assert f"create user gitpushes: with the password of {admin.git}" in output
    assert admin.git.read_text() == "chosen by hand\n"
    admin.log_in("gitpushes", admin.git).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a password for another")
def test_root_makes_no_password_for_nobody_knows_whom(admin: Administration) -> None:
    """The owner of the store reads it: where there is none yet, that is said, and a later run goes on."""
    admin.store.rmdir()
    dry, shown = admin.provision("--dry-run")
    code, output = admin.provision()
    left = (admin.git.exists(), [user["name"] for user in admin.node.api("GET", "users")])
    admin.store.mkdir()
    os.chown(admin.store, 65534, 65534)
    later, told = admin.provision()

    sentence = f"error: password of gitpushes: who reads {admin.git} is not known: the store {admin.store}"
    assert (dry, code, later) == (1, 1, 0)
    assert sentence in shown
    assert sentence in output
    assert left == (False, ["guest"])
    assert f"create user gitpushes: a new password goes to {admin.git} (owner nobody, mode 0600)" in told
    assert (admin.git.stat().st_uid, stat.S_IMODE(admin.git.stat().st_mode)) == (65534, 0o600)


def test_a_rotation_that_was_killed_is_ended_by_the_next_run(admin: Administration) -> None:
    """The broker knew the new password already, its file was not in place: connecting works all the while."""
    admin.provision()
    old = admin.git.read_text()
    (admin.root / "git-password.new").write_text("the next one\n")
    known = hashed("the next one", b"salt")
    admin.node.api("PUT", "users/gitpushes", {"password_hash": known.text, "tags": ""})
    account = Account(
        name="",
        urls=(admin.node.url(admin.vhost),),
        user="gitpushes",
        password=old.strip(),
        password_file=str(admin.git),
    )

    connect(account).close()
    code, output = admin.provision()

    assert code == 0
    assert f"{admin.git} takes the one that was renewed" in output
    assert admin.git.read_text() == "the next one\n"
    assert not (admin.root / "git-password.new").exists()
    connect(account).close()


def test_who_is_denied_was_tried_with_every_password_there_is(admin: Administration) -> None:
    """Where neither the file nor what is beside it is taken, the account is denied as ever."""
    admin.provision()
    admin.git.write_text("wrong\n")
    (admin.root / "git-password.new").write_text("wrong too\n")
    urls = (admin.node.url(admin.vhost),)

    with pytest.raises(BrokerDenied, match="refuses the user gitpushes"):
        connect(Account(name="", urls=urls, user="gitpushes", password_file=str(admin.git)))


def test_the_broker_gets_a_hash_and_never_the_password(admin: Administration) -> None:
    """What it keeps is the salted hash that was made here, and it is the one of the file."""
    admin.provision()

    row = next(user for user in admin.node.api("GET", "users") if user["name"] == "gitpushes")

    known = PasswordHash(row["password_hash"], row["hashing_algorithm"])
    assert matches(admin.git.read_text().strip(), known)
    assert not matches("another", known)

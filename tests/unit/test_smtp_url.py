"""The provider's own mail server, from `SMTP_URL` to the Airflow connection."""

import json
from pathlib import Path

import pytest

from mysimbdp import errors, settings
from mysimbdp.registrar import connections
from mysimbdp.secrets import SecretStore

PASSWORD = "p@ss/w:rd?"


@pytest.fixture
def mail_connection(tmp_path):
    """Give a function that makes the connection of an environment."""

    def make(**environ):
        places = settings.from_environment(
            {"MYSIMBDP_HOME": str(tmp_path), "MYSIMBDP_STATE": str(tmp_path / "var"), **environ}
        )
        secrets = SecretStore(places.secrets)
        secrets.ensure("mongo/platform")
        (found,) = (
            one
            for one in connections.platform(places, secrets)
            if one["connection_id"] == "smtp_default"
        )
        return found | {"extra": json.loads(found["extra"])}

    return make


def test_by_default_mails_go_to_the_local_mailbox(mail_connection):
    found = mail_connection(MYSIMBDP_SMTP_PORT="2525")
    assert (found["host"], found["port"]) == ("127.0.0.1", 2525)
    assert found["extra"]["disable_tls"] is True


def test_a_mail_server_of_the_providers_own_with_login_and_tls(mail_connection):
    url = "smtp://ops%40example.org:p%40ss%2Fw%3Ard%3F@mail.example:2587/?starttls=true&from=a@b.example"
    found = mail_connection(SMTP_URL=url)
    assert (found["host"], found["port"]) == ("mail.example", 2587)
    assert (found["login"], found["password"]) == ("ops@example.org", PASSWORD)
    assert found["extra"] == {
        "disable_ssl": True,
        "disable_tls": False,
        "from_email": "a@b.example",
    }


def test_the_connection_is_encrypted_unless_the_address_says_no(mail_connection):
    assert mail_connection(SMTP_URL="smtp://mail.example")["extra"]["disable_tls"] is False
    assert mail_connection(SMTP_URL="smtp://mail.example")["port"] == 587
    plain = mail_connection(SMTP_URL="smtp://mail.example/?starttls=false")
    assert plain["extra"]["disable_tls"] is True


@pytest.mark.parametrize(
    "url",
    [
        "mail.example:25",
        f"https://user:{PASSWORD}@mail.example",
        "smtp://user:hush-hush@mail.example:port/",
        "smtp://user:hush-hush@mail.example/?startls=true",
        "smtp://user:hush-hush@mail.example/?starttls=maybe",
    ],
)
def test_another_address_is_refused_and_not_repeated(mail_connection, url):
    with pytest.raises(errors.ConfigurationError, match="SMTP_URL is not") as caught:
        mail_connection(SMTP_URL=url)
    assert "hush-hush" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_the_password_does_not_show_when_the_settings_are_printed():
    places = settings.from_environment(
        {"MYSIMBDP_HOME": str(Path.cwd()), "SMTP_URL": "smtp://user:hush-hush@mail.example"}
    )
    assert "hush-hush" not in repr(places)


def test_the_operator_has_an_address(tmp_path):
    environ = {"MYSIMBDP_HOME": str(tmp_path)}
    assert settings.from_environment(environ).operator_email == "operator@localhost"
    named = settings.from_environment(environ | {"OPERATOR_EMAIL": "a@example.org"})
    assert named.operator_email == "a@example.org"

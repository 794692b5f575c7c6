"""Users of Kafka and their passwords, SCRAM with SHA-512.

Kafka never shows a password, but it shows how often each one was hashed. That number is made from
the password, so a password that is lost, or set by hand, is seen from what the server says. One
in twelve thousand others would look right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them without saying so
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

#: For each user, the iterations by mechanism.
Logins = Mapping[str, Mapping[ScramMechanism, int]]

_MECHANISM = ScramMechanism.SCRAM_SHA_512
#: What Kafka accepts. The least is what its own tools take, so none of our passwords has it.
_LEAST_ITERATIONS, _MOST_ITERATIONS = 4096, 16384


def seal(password: str) -> int:
    """Return how often this password is hashed."""
    digest = int.from_bytes(hashlib.sha256(password.encode()).digest())
    return _LEAST_ITERATIONS + 1 + digest % (_MOST_ITERATIONS - _LEAST_ITERATIONS)


def read(admin: AdminClient) -> Logins:
    """Read which users there are."""
    # For named users there would be a future each.
    answer: Any = admin.describe_user_scram_credentials()
    return {
        user: {info.mechanism: info.iterations for info in described.scram_credential_infos}
        for user, described in answer.result().items()
    }


def ensure(admin: AdminClient, seen: Logins, user: str, password: str) -> list[str]:
    """Give a user this password and no other; return what was changed, in words."""
    found = seen.get(user, {})
    if found == {_MECHANISM: seal(password)}:
        return []
    for other in found:
        if other != _MECHANISM:
            _alter(admin, UserScramCredentialDeletion(user, other))
    info = ScramCredentialInfo(_MECHANISM, seal(password))
    _alter(admin, UserScramCredentialUpsertion(user, info, password.encode()))
    return [f"password of the Kafka login {user} set" if found else f"Kafka login {user} made"]


def drop(admin: AdminClient, seen: Logins, user: str) -> None:
    """Drop a user; sessions that are open go on, so its rights must be gone before."""
    for mechanism in seen.get(user, {}):
        _alter(admin, UserScramCredentialDeletion(user, mechanism))


def _alter(admin: AdminClient, alteration: UserScramCredentialAlteration) -> None:
    """Change one thing: Kafka does not take two for the same user in one request."""
    admin.alter_user_scram_credentials([alteration])[alteration.user].result()

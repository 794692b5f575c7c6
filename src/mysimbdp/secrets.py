"""Passwords and keys: generated once, one file each, mode 600, never printed by accident."""

from __future__ import annotations

import os
import secrets as generator
from pathlib import Path

import attrs

from mysimbdp import errors

_PASSWORD_BYTES = 24


@attrs.frozen
class SecretStore:
    """A folder of secrets; names look like `mongo/tenant1`. Only platform processes read it."""

    folder: Path

    def read(self, name: str) -> str:
        """Return a secret.

        Raises:
            SecretMissingError: there is none of that name.

        """
        try:
            return (self.folder / name).read_text().strip()
        except FileNotFoundError:
            raise errors.SecretMissingError(
                f"The secret {name} does not exist in {self.folder}. "
                "Start the platform once (mysimbdp up), it creates what is missing.",
                name=name,
            ) from None

    def ensure(self, name: str, value: str | None = None) -> str:
        """Return a secret, made first if it is missing (from `value`, else at random)."""
        try:
            return self.read(name)
        except errors.SecretMissingError:
            self.write(name, value or generator.token_urlsafe(_PASSWORD_BYTES))
            return self.read(name)

    def write(self, name: str, value: str) -> None:
        """Put a secret in place, by rename, so that a reader sees the old or the new one."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(value + "\n")
        draft.rename(path)

    def forget(self, name: str) -> None:
        """Remove a secret; removing a missing one is no error."""
        (self.folder / name).unlink(missing_ok=True)

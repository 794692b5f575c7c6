"""Every error of the platform: what failed, for whom, expected and found, what to do.

Two families decide about retries: a `TransientError` may go away by itself (a server restarts, a
worker is killed) and is tried again; a `TerminalError` will not and is reported at once.
"""

from __future__ import annotations

from typing import Any


class PlatformError(Exception):
    """Something went wrong in the platform.

    The first line of a subclass's docstring is its default message. Facts given by keyword stay
    readable in `facts`, so that reports and tests need not parse the sentence.
    """

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        doc = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(message or doc)
        self.facts = facts


class TransientError(PlatformError):
    """Something outside failed and may work again in a moment."""


class TerminalError(PlatformError):
    """Trying again will not help; somebody has to change something first."""


class UsageError(TerminalError):
    """The command cannot be carried out as given."""


class ConfigurationError(TerminalError):
    """A setting or a committed file is not usable."""


class SecretMissingError(ConfigurationError):
    """A secret is missing; `mysimbdp up` or the registrar creates it."""


class StackError(TerminalError):
    """The embedded stack cannot do that."""


class TenantStoppedError(TerminalError):
    """The tenant's agreement or registration is not valid; its ingestion is stopped."""


class TenantUnknownError(TerminalError):
    """No such tenant or subdirectory is registered."""


class ServiceUnavailableError(TransientError):
    """A server does not answer; the work is tried again later."""


class StagingError(TransientError):
    """The staging area could not be read or changed."""


class LedgerConflictError(TransientError):
    """Another copy of this task got further; this one stops."""


class IngestionFailedError(TerminalError):
    """The ingestion failed for a named cause that a retry does not cure."""


class IngestionInterruptedError(TransientError):
    """The ingestion was interrupted from outside and is tried again."""

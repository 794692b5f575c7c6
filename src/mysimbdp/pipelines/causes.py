"""The named causes of a failed ingestion; each way to die has its own."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why an ingestion failed, as the report says it."""

    #: The child and what it started took more memory than agreed, and were stopped.
    MEMORY = "memory"
    #: The child ran longer than registered, and was stopped.
    TIMEOUT = "timeout"
    #: The child ended by itself with an exit code and without a word.
    CRASH = "crash"
    #: A signal that the platform did not send ended the child.
    SIGNAL = "signal"
    #: The child's output is not what the contract says.
    BAD_OUTPUT = "bad_output"
    #: The tenant's code could not be loaded.
    NOT_LOADABLE = "not_loadable"
    #: The tenant's callable raised an error.
    CALLABLE_ERROR = "callable_error"
    #: The tenant's script ended with an exit code other than 0.
    SCRIPT_ERROR = "script_error"
    #: The file cannot be read to its end.
    BAD_CONTENT = "bad_content"
    #: More rows were rejected than registered as tolerable.
    TOO_MANY_REJECTS = "too_many_rejects"
    #: Rows read are not rows stored plus rows rejected.
    COUNTS_DIFFER = "counts_differ"
    #: The work was ended before it was done: all retries were used up, or somebody ended the run.
    INTERRUPTED = "interrupted"

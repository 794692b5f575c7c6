"""What an error of Kafka means: wait for it, or change something."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from confluent_kafka import KafkaError, KafkaException
from kafka import errors as kafka_errors

from mysimbdp import errors


def is_passing(error: KafkaException) -> bool:
    """Tell whether the same request may work later: no answer, or one that says so."""
    fault: KafkaError = error.args[0]
    # The codes below zero are the client's own: it did not reach a server.
    return fault.code() < 0 or fault.retriable()


def reason(error: KafkaException) -> str:
    """Return what the server says."""
    text: str = error.args[0].str()
    return text.rstrip(".")


@contextlib.contextmanager
def translated(address: str, was_login_refused: Callable[[], bool]) -> Iterator[None]:
    """Raise our own errors instead of those of the two clients.

    Raises:
        ServiceUnavailableError: Kafka does not answer.
        ConfigurationError: Kafka refuses.

    """
    try:
        yield
    except KafkaException as error:
        if was_login_refused():
            raise _refused_login(address) from error
        if is_passing(error):
            raise _silence(address, error.args[0].name()) from error
        raise errors.ConfigurationError(f"Kafka at {address} refuses: {reason(error)}.") from error
    except kafka_errors.KafkaError as error:
        if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
            raise _refused_login(address) from error
        if error.retriable or isinstance(error, kafka_errors.KafkaConnectionError):
            raise _silence(address, type(error).__name__) from error
        raise errors.ConfigurationError(f"Kafka at {address} refuses: {error}.") from error


def _silence(address: str, what: str) -> errors.ServiceUnavailableError:
    return errors.ServiceUnavailableError(
        f"Kafka at {address} does not answer ({what}); see whether it runs (mysimbdp status)."
    )


def _refused_login(address: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"Kafka at {address} refuses the registrar's login. "
        "Check the administrator's login in KAFKA_LOGIN or in the secret kafka/registrar."
    )

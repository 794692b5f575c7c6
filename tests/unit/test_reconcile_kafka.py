import pytest

from mysimbdp.agreements.model import StreamLimits
from mysimbdp.pipelines.registration import TopicLayout
from mysimbdp.registrar import kafka_logins, kafka_quotas, kafka_rights, kafka_topics

LIMITS = StreamLimits(max_publish_rate="5MB/s", max_consume_rate="10MB/s", retention="24h")
USER = (("user", "acme"),)
CLIENT = (("client-id", "x"), ("user", "acme"))
WISHED = {"producer_byte_rate": 5.0 * 2**20, "consumer_byte_rate": 10.0 * 2**20}


def test_every_right_of_a_tenant_ends_at_the_dot_after_its_name():
    rights = kafka_rights.of_tenant("tenant1")

    assert {right.name for right in rights} == {"tenant1."}
    assert not any("tenant10.weather".startswith(right.name) for right in rights)
    assert {right.principal for right in rights} == {"User:tenant1"}


def test_a_tenant_may_neither_make_nor_change_nor_delete_anything():
    operations = {right.operation.name for right in kafka_rights.of_tenant("tenant1")}

    assert operations == {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}


def test_the_platform_reads_reports_only_and_writes_its_own_only():
    rights = kafka_rights.of_platform(["acme"])

    names = {
        operation: {
            right.name
            for right in rights
            if right.restype.name == "TOPIC" and right.operation.name == operation
        }
        for operation in ("READ", "WRITE", "DESCRIBE")
    }
    assert names == {
        "READ": {"metrics", "acme.metrics"},
        "WRITE": {"metrics"},
        "DESCRIBE": {"*"},
    }


def test_tenants_are_found_by_the_rights_that_they_are_given():
    rights = kafka_rights.of_tenant("acme") | kafka_rights.of_platform(["acme"])

    assert kafka_rights.owners(rights) == {"acme"}


def test_the_seal_of_a_password_is_in_kafkas_range_and_no_number_of_its_own_tools():
    seals = [kafka_logins.seal(f"password {number}") for number in range(1000)]

    assert all(4096 < seal <= 16384 for seal in seals)
    assert len(set(seals)) > 900
    assert kafka_logins.seal("a") == kafka_logins.seal("a")


@pytest.mark.parametrize(
    ("seen", "plan"),
    [
        ({}, {USER: WISHED}),
        ({USER: WISHED}, {}),
        (
            {USER: WISHED | {"producer_byte_rate": 1.0}},
            {USER: {"producer_byte_rate": 5.0 * 2**20}},
        ),
        ({USER: WISHED | {"request_percentage": 50.0}}, {USER: {"request_percentage": None}}),
        (
            {USER: WISHED, CLIENT: {"producer_byte_rate": 1e9}},
            {CLIENT: {"producer_byte_rate": None}},
        ),
        ({(("user", "other"),): {"producer_byte_rate": 1.0}, USER: WISHED}, {}),
    ],
)
def test_quotas_become_those_of_the_agreement_whatever_they_are(seen, plan):
    assert kafka_quotas.plan(seen, "acme", kafka_quotas.of(LIMITS)) == plan


def test_quotas_of_a_withdrawn_tenant_are_all_removed():
    assert kafka_quotas.plan({USER: WISHED}, "acme", {}) == {USER: dict.fromkeys(WISHED)}


def test_a_tenants_topics_are_those_it_registered_and_one_for_its_own_reports():
    topics = kafka_topics.of_tenant("acme", LIMITS, {"weather": TopicLayout(partitions=4)})

    day_ms = 24 * 3600 * 1000
    assert topics == (
        kafka_topics.Topic("acme.weather", 4, day_ms),
        kafka_topics.Topic("acme.metrics", 1, day_ms),
    )

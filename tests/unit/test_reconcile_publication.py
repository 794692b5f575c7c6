import pytest

from mysimbdp import registry
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines.registration import Registration
from mysimbdp.registrar import publication

PROBLEM = Problem(file="constraints/acme.yaml", key="plan", expected="a plan", found="'x'")


def agreement(slots=2):
    return Agreement.model_validate(
        {
            "data_constraints": {"file_types": ["CSV"], "max_file_size": "1MB"},
            "service_agreement": {
                "max_throughput": "1MB/s",
                "max_concurrent_ingestions": slots,
                "storage_space_staging": "1GB",
                "max_memory": "1GB",
            },
            "contacts": ["ops@acme.example"],
        }
    )


def valid(tenant="acme", slots=2):
    pipelines = {"batch": {"taxi": {"callable": "taxi:ingest", "collection": "trips"}}}
    return registry.RegisteredTenant(
        tenant=tenant,
        agreement=agreement(slots),
        registration=Registration.model_validate(pipelines),
    )


def streaming(*apps, tenant="acme", instances=1, batch=True):
    app = {"topics": ["t"], "callable": "a:b", "collections": {"c": {}}, "instances": instances}
    pipelines = {"topics": {"t": {}}, "streams": dict.fromkeys(apps, app)}
    if batch:
        pipelines["batch"] = {"taxi": {"callable": "taxi:ingest", "collection": "trips"}}
    return registry.RegisteredTenant(
        tenant=tenant,
        agreement=agreement(),
        registration=Registration.model_validate(pipelines),
    )


def invalid(tenant="acme"):
    return registry.RegisteredTenant(
        tenant=tenant, agreement=None, registration=None, problems=(PROBLEM,)
    )


def test_a_new_tenant_is_published_only_when_everything_it_needs_exists():
    assert publication.decide([valid()], [], ready=()) == ()
    assert publication.decide([valid()], [], ready={"acme"}) == (valid(),)


def test_a_changed_agreement_counts_only_when_everything_is_in_place():
    assert publication.decide([valid(slots=5)], [valid()], ready=()) == (valid(),)
    assert publication.decide([valid(slots=5)], [valid()], ready={"acme"}) == (valid(slots=5),)


@pytest.mark.parametrize("ready", [(), ("acme",)])
def test_a_live_tenant_that_becomes_invalid_is_stopped_at_once_with_its_last_good_files(ready):
    (stopped,) = publication.decide([invalid()], [valid()], ready)

    assert stopped.agreement == valid().agreement
    assert stopped.registration == valid().registration
    assert stopped.problems == (PROBLEM,)


def test_the_last_good_files_are_kept_while_the_problems_change():
    (stopped,) = publication.decide([invalid()], [valid()], ready=())

    assert publication.decide([invalid()], [stopped], ready=()) == (stopped,)


def test_a_stopped_tenant_is_live_again_when_its_files_are_right():
    (stopped,) = publication.decide([invalid()], [valid()], ready=())

    assert publication.decide([valid()], [stopped], ready=()) == (stopped,)
    assert publication.decide([valid()], [stopped], ready={"acme"}) == (valid(),)


def test_a_tenant_that_never_was_live_shows_its_problems_once_it_has_its_role():
    assert publication.decide([invalid()], [], ready=()) == ()
    assert publication.decide([invalid()], [], ready={"acme"}) == (invalid(),)


def test_a_withdrawn_tenant_is_unpublished_without_waiting_for_anything():
    chosen = publication.decide([valid("other")], [valid(), valid("other")], ready=())

    assert chosen == (valid("other"),)


def test_new_stream_apps_wait_for_kafka_and_files_do_not():
    (early,) = publication.decide([streaming("a", "b")], [], ready={"acme"})

    assert set(early.registration.batch) == {"taxi"}
    assert early.registration.streams == {}
    now = streaming("a", "b")
    assert publication.decide([now], [early], ready={"acme"}, streaming={"acme"}) == (now,)


def test_stream_apps_that_run_stay_as_they_are_while_kafka_does_not_answer():
    before = streaming("a", "gone")
    now = streaming("a", "new", instances=2)

    (chosen,) = publication.decide([now], [before], ready={"acme"})

    assert chosen.registration.streams == {"a": before.registration.streams["a"]}


def test_a_tenant_that_has_only_streams_waits_for_kafka(tmp_path):
    now = streaming("a", batch=False)

    assert publication.decide([now], [], ready={"acme"}) == ()
    assert publication.decide([now], [], ready={"acme"}, streaming={"acme"}) == (now,)


def test_what_is_published_without_kafka_can_be_read_again(tmp_path):
    chosen = publication.decide([streaming("a")], [], ready={"acme"})
    registry.publish(tmp_path / "registry.json", chosen)

    assert registry.read(tmp_path / "registry.json") == chosen


def test_one_tenant_does_not_hold_up_another():
    tree = [invalid("broken"), valid("slow"), valid("fine")]

    chosen = publication.decide(tree, [], ready={"fine"})

    assert [tenant.tenant for tenant in chosen] == ["fine"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([], [valid()], "live"),
        ([valid()], [valid(slots=5)], "live with its new agreement"),
        ([valid()], [], "withdrawn: admission stops"),
        ([], [invalid()], "stopped: constraints/acme.yaml: plan: expected a plan, found 'x'"),
    ],
)
def test_each_change_is_told_in_words(before, after, told):
    (change,) = publication.describe(before, after)

    assert (change.tenant, change.change) == ("acme", told)


def test_nothing_is_told_when_nothing_changed(tmp_path):
    registry.publish(tmp_path / "registry.json", [valid()])

    assert publication.describe(registry.read(tmp_path / "registry.json"), [valid()]) == []

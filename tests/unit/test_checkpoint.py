"""Where a partition is read on, and when that cannot be said."""

import pytest

from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.causes import StreamStoppedError
from mysimbdp.streaming.checkpoint import Checkpoint, Found, choose_start

PARTITION = Partition("tenant1.weather", 2)


def found(*, topic_id="first", committed=None, low=0, high=1_000):
    return Found(topic_id=topic_id, committed=committed, low=low, high=high)


@pytest.mark.parametrize(
    ("known", "now", "start"),
    [
        pytest.param(None, found(low=7), 7, id="the first time, from the oldest message"),
        pytest.param(None, found(committed=50), 50, id="a group that was there before"),
        pytest.param(("first", 60), found(), 60, id="Kafka has forgotten the group"),
        pytest.param(("first", 60), found(committed=50), 60, id="the commit was lost"),
        pytest.param(("first", 60), found(committed=70), 70, id="the checkpoint was lost"),
        pytest.param(("first", 1_000), found(committed=1_000), 1_000, id="all is read"),
        pytest.param(("first", 30), found(low=30), 30, id="nothing unread was deleted"),
    ],
)
def test_a_partition_goes_on_after_the_last_stored_message(known, now, start):
    known = known and Checkpoint(topic_id=known[0], offset=known[1])

    assert choose_start(PARTITION, known, now) == start


@pytest.mark.parametrize(
    ("known", "now", "cause", "words"),
    [
        (("first", 60), found(topic_id="second"), "topic_recreated", "never read"),
        (("first", 60), found(low=100), "topic_truncated", "40 messages"),
        (("first", 2_000), found(), "topic_truncated", "ends at offset 1000"),
        (None, found(committed=5, low=10), "topic_truncated", "5 messages"),
    ],
)
def test_missing_or_other_messages_stop_the_app_with_their_cause(known, now, cause, words):
    known = known and Checkpoint(topic_id=known[0], offset=known[1])

    with pytest.raises(StreamStoppedError, match=words) as caught:
        choose_start(PARTITION, known, now)

    assert caught.value.facts["cause"] == cause
    assert "tenant1.weather" in str(caught.value)

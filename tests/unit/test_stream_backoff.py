from mysimbdp.streaming.backoff import History


def ends(*moments, lived_seconds=1.0):
    history = History()
    for moment in moments:
        history = history.after_end(moment, lived_seconds)
    return history


def test_each_end_doubles_the_pause_up_to_a_minute():
    delays = [ends(*range(count)).delay_seconds for count in range(1, 10)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_after_five_minutes_of_health_the_pause_is_the_first_one_again():
    history = ends(1, 2, 3, 4).after_end(400, lived_seconds=300)
    assert history.delay_seconds == 1
    assert history.after_end(401, lived_seconds=1).delay_seconds == 2


def test_the_ninth_end_within_ten_minutes_is_one_too_many():
    assert not ends(*range(0, 8 * 60, 60)).is_hopeless
    assert ends(*range(0, 9 * 60, 60)).is_hopeless


def test_ends_that_are_ten_minutes_old_are_forgiven():
    assert not ends(*range(0, 100 * 100, 100)).is_hopeless


def test_the_pause_stays_a_minute_however_often_it_ended():
    assert ends(*range(0, 5000 * 700, 700)).delay_seconds == 60

"""Sizes, rates and durations as agreements write them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mysimbdp.agreements.quantity import Duration, Rate, Size

#: A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
UNITS = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
KINDS = [Size, Rate, Duration]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("350MB", 367_001_600),
        ("0.5GB", 512 * 2**20),
        ("500GB", 536_870_912_000),
        ("1B", 1),
        ("1.5KB", 1536),
        ("2TB", 2**41),
    ],
)
def test_a_size_is_counted_in_binary_units(text, expected):
    assert Size(text).bytes == expected


def test_a_rate_is_a_size_per_second():
    assert Rate("5MB/s").bytes_per_second == 5 * 2**20


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("2h", 7200)])
def test_a_duration_is_counted_in_seconds(text, expected):
    assert Duration(text).seconds == expected


@UNHURRIED
@given(number=st.integers(1, 10**6), unit=st.sampled_from(sorted(UNITS)))
def test_every_whole_size_is_counted_exactly_and_keeps_its_text(number, unit):
    size = Size(f"{number}{unit}")

    assert (size.bytes, size.text, str(size)) == (
        number * UNITS[unit],
        f"{number}{unit}",
        f"{number}{unit}",
    )


@UNHURRIED
@given(kibibytes=st.decimals("0.001", "9999999", places=3))
def test_a_decimal_size_is_never_off_by_a_rounding_error(kibibytes):
    assert Size(f"{kibibytes}KB").bytes == int(kibibytes * 1024)


@pytest.mark.parametrize("kind", KINDS)
@UNHURRIED
@given(data=st.data())
def test_a_quantity_survives_json_unchanged(kind, data):
    quantity = kind(data.draw(st.from_regex(kind.PATTERN, fullmatch=True).filter(_fits(kind))))
    adapter = TypeAdapter(kind)

    assert adapter.validate_json(adapter.dump_json(quantity)) == quantity


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Size, "350"),
        (Size, "350 MB"),
        (Size, "350mb"),
        (Size, "-1MB"),
        (Size, "1.MB"),
        (Size, "1e3MB"),
        (Size, "350MB\n"),
        (Size, "٣MB"),
        (Size, "0MB"),
        (Size, "0.0001B"),
        (Size, "5MB/s"),
        (Rate, "5MB"),
        (Rate, "5MB/m"),
        (Rate, "0MB/s"),
        (Duration, "30"),
        (Duration, "0s"),
        (Duration, "1d"),
    ],
)
def test_anything_else_is_refused_with_an_example_of_what_is_expected(kind, text):
    with pytest.raises(ValueError, match="such as"):
        kind(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [350, 0.5, True, None, ["350MB"]])
def test_a_model_takes_a_quantity_from_text_only(kind, value):
    with pytest.raises(ValidationError, match=r"a (size|rate|duration) such as"):
        TypeAdapter(kind).validate_python(value)


def test_a_model_takes_a_quantity_that_is_one_already():
    assert TypeAdapter(Size).validate_python(Size("1MB")) == Size("1MB")


def _fits(kind):
    """Keep what is above zero; the pattern alone allows 0MB."""

    def is_one(text):
        try:
            kind(text)
        except ValueError:
            return False
        return True

    return is_one

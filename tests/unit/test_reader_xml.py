import io
import itertools
import resource
from decimal import Decimal

import pytest

from mysimbdp.pipelines import readers


def read(data, **options):
    data = data.encode() if isinstance(data, str) else data
    return list(readers.read_blocks(io.BytesIO(data), "XML", readers.ReadOptions(**options)))


def read_one(data, **options):
    (block,) = read(data, **options)
    return block


def refusal(data, **options):
    with pytest.raises(readers.BadContentError) as caught:
        read(data, **options)
    return str(caught.value)


def test_attributes_and_children_are_fields():
    block = read_one(
        '<trips><trip id="1"><zone>A</zone><fare><sum>2.5</sum></fare><stop>x</stop>'
        "<stop>y</stop><note/></trip></trips>"
    )
    assert block.data == [{"id": "1", "zone": "A", "fare": {"sum": "2.5"}, "stop": ["x", "y"]}]


def test_text_beside_attributes_or_children_is_kept():
    block = read_one('<r><t unit="km">7</t><t>in <b>the</b> middle</t><t>plain</t></r>')
    assert block.data == [
        {"unit": "km", "text": "7"},
        {"b": "the", "text": "in middle"},
        {"text": "plain"},
    ]


def test_values_stay_text_unless_a_type_is_declared():
    block = read_one(
        "<r><t><zip>00123</zip><n>7</n><d>1.50</d><x>7</x></t></r>",
        columns={"n": "int64", "d": "decimal", "zip": "string"},
    )
    assert block.data == [{"zip": "00123", "n": 7, "d": Decimal("1.50"), "x": "7"}]


def test_a_value_that_does_not_fit_rejects_its_row_with_the_line():
    block = read_one("<r>\n<t><n>1</n></t>\n<t><n>x</n></t></r>", columns={"n": "int64"})
    assert block.data == [{"n": 1}]
    assert block.line_of(0) == 2
    (reject,) = block.rejects
    assert (reject.row, reject.line, reject.field) == (1, 3, "n")
    assert reject.reason == "column n: expected int64, found 'x'"
    assert reject.raw == "<t><n>x</n></t>"


def test_marks_for_missing_are_left_out_but_in_a_declared_text():
    block = read_one(
        "<r><t><a>NA</a><b>NA</b><c></c></t></r>", missing=("NA",), columns={"b": "string"}
    )
    assert block.data == [{"b": "NA"}]


def test_rows_are_the_named_elements_at_any_depth():
    block = read_one("<r><g><t><a>1</a><t>in</t></t></g><x/><t><a>2</a></t></r>", xml_row="t")
    assert block.data == [{"a": "1", "t": "in"}, {"a": "2"}]


def test_name_spaces_comments_and_encodings_are_understood():
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>'
        '<p:r xmlns:p="u"><!-- c --><p:t p:k="1">é<!-- d --></p:t></p:r>'
    )
    assert read_one(text.encode("latin-1"), xml_row="t").data == [{"k": "1", "text": "é"}]


def test_a_long_file_comes_in_blocks_of_10000_rows():
    blocks = read("<r>" + "".join(f"<t><n>{n}</n></t>" for n in range(25_000)) + "</r>")
    assert [len(block.rows) for block in blocks] == [10_000, 10_000, 5_000]
    assert blocks[-1].data[-1] == {"n": "24999"}


def test_memory_does_not_grow_with_the_file():
    rows = itertools.repeat(b"<t><n>" + b"x" * 2_000 + b"</n></t>", 50_000)
    chunks = itertools.chain([b"<r>"], rows, [b"</r>"])

    class Long:
        def read(self, _size):
            return next(chunks, b"")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blocks = readers.read_blocks(Long(), "XML", readers.ReadOptions())
    assert sum(block.rows_read for block in blocks) == 50_000
    # The whole file is 100 MB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def test_a_document_without_rows_is_a_file_of_no_rows():
    assert read("<r/>", xml_row="t") == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "line 1: expected well-formed XML, found: no element found"),
        (
            "<r>\n<t></r>",
            "line 2: expected well-formed XML, found: Opening and ending tag mismatch",
        ),
        ("<r><t>x</t>", "line 1: expected well-formed XML, found: Premature end of data"),
        ("<r>\n<t>&x;</t></r>", "line 2: expected well-formed XML, found: Entity 'x' not defined"),
        ("<r><g/></r>", "expected elements <t> as rows, found none"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_line(data, said):
    assert refusal(data, xml_row="t").startswith(said)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE r SYSTEM "http://localhost/none.dtd">',
        "<!DOCTYPE r>",
    ],
)
def test_a_document_type_is_refused_and_nothing_expanded_or_fetched(head):
    said = "line 1: expected XML without a document type, found <!DOCTYPE; remove it"
    assert refusal(f"{head}<r><t>&a;</t></r>") == said


def test_a_row_of_more_than_16_megabytes_is_refused():
    data = b"<r><t>" + (b"<n>" + b"x" * 1_000 + b"</n>") * 18_000
    assert "at most 16 MB" in refusal(data)

"""Files as IANA publishes them are read as they are; what is not such a file is refused."""

import pytest

from otpc_policy.core.registries.csv_files import assigned_names, parse_columns, read_columns

PUBLISHED_SUITES = """\
Value,Description,DTLS-OK,Recommended,Reference,Comment
"0x00,0x1B",TLS_DH_anon_WITH_3DES_EDE_CBC_SHA,Y,D,[RFC5246],
"0x00,0x1C-1D",Reserved to avoid conflicts with SSLv3,,,[RFC5246],
"0x00,0x47-4F","Reserved to avoid conflicts with
deployed implementations",,,[Somebody],
"0x01-09,*",Unassigned,,,,
"0x0A,0x0A",Reserved,Y,N,[RFC8701],
"0x13,0x00",Unassigned,,,,
"0x13,0x01",TLS_AES_128_GCM_SHA256,Y,Y,[RFC9846],"A comment, with a comma"
"""
PUBLISHED_GROUPS = """\
Value,Description,DTLS-OK,Recommended,Reference,Comment
0,Reserved,,,[RFC8447],
29,x25519,Y,Y,[RFC9846][RFC8422],
42-255,Unassigned,,,,
2570,Reserved,Y,N,[RFC8701],
25497,X25519Kyber768Draft00 (OBSOLETE),Y,D,[draft-tls-westerbaan-xyber768d00-02],Pre-standards
"""
PUBLISHED_SCHEMES = """\
Value,Description,Recommended,Reference,Comment
0x0000-0x0200,Reserved for backward compatibility,,[RFC9846],
0x0202,Reserved for backward compatibility,,[RFC9846],
0x0403,ecdsa_secp256r1_sha256,Y,[RFC9846],
"""
PUBLISHED_ALERTS = """\
Value,Description,DTLS-OK,Reference,Comment
2-9,Unassigned,,,
21,decryption_failed_RESERVED,Y,[RFC9846],Used in TLS versions prior to 1.3.
40,handshake_failure,Y,[RFC9846],
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            PUBLISHED_SUITES,
            {0x001B: "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA", 0x1301: "TLS_AES_128_GCM_SHA256"},
        ),
        (PUBLISHED_GROUPS, {29: "x25519", 25497: "X25519Kyber768Draft00"}),
        (PUBLISHED_SCHEMES, {0x0403: "ecdsa_secp256r1_sha256"}),
        (PUBLISHED_ALERTS, {21: "decryption_failed", 40: "handshake_failure"}),
    ],
)
def test_what_iana_publishes_is_read_and_rows_that_assign_nothing_are_left_out(
    text: str, names: dict[int, str]
) -> None:
    assert assigned_names(parse_columns(text, "Value", "Description")) == names


@pytest.mark.parametrize(
    "rows",
    [
        [("0xC0,0x2", "TLS_A")],
        [("0xC02B", "TLS_A"), ("0xC0,0x2B", "TLS_B")],
        [("", "TLS_A")],
        [("1.0", "a")],
        [("1", "")],
        [("1", "two words")],
        [("1", "TLS_A"), ("1", "TLS_A")],
    ],
)
def test_a_row_that_is_not_understood_is_an_error_and_not_left_out(
    rows: list[tuple[str, str]],
) -> None:
    with pytest.raises(ValueError, match="is not"):
        assigned_names(rows)


def test_a_file_without_a_column_or_with_a_torn_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="Description"):
        parse_columns("Value,Name\n1,a\n", "Value", "Description")
    with pytest.raises(ValueError, match="longer or shorter"):
        parse_columns("Value,Description\n1,a\n2\n", "Value", "Description")
    with pytest.raises(FileNotFoundError):
        read_columns("iana/nothing.csv", "Value")

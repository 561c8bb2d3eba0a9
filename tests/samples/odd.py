"""Keys and values that break browsers: everything a byte string may be."""

from __future__ import annotations

import gzip
import json
from random import Random

from samples.lines import line
from samples.parts import DAY_S, Lines


def odd_keys() -> Lines:
    """Keys without a slash, with other separators, with spaces, control bytes, no text at all,
    very long.
    """
    return [
        line("maintenance", "off", was=["off", "on"]),
        line("motd", "Back at nine. The coffee machine is fixed.\n", was=["Back at eight.\n"]),
        line("cart.timeout.seconds", "1800"),
        line("cart.timeout.warn", "1500"),
        line("user:1001:name", "Adaeze"),
        line("user:1001:mail", "adaeze@example.org"),
        line("user:1002:name", "Kenji"),
        line("C:\\Windows\\style", "backslashes"),
        line("https://example.org/hooks/7?retry=true", "200"),
        line("a key with spaces", "and a value with spaces"),
        line(" leading space", "x"),
        line("/", "the root itself"),
        line("//two//slashes", "empty names between"),
        line("/trailing/", "ends with the separator"),
        line("/config", "a key that is also a prefix"),
        line("/percent%2Fescaped", "not decoded"),
        line("/tab\there", "tab"),
        line("/line\nbreak", "newline in the key"),
        line("/quote\"s and 'quotes'", "q"),
        line("/[bold]markup[/bold]", "[red]not markup[/red]"),
        line("/\u200bzero/width", "invisible characters"),
        line("/rtl/\u05e9\u05dc\u05d5\u05dd", "right to left"),
        line("/emoji/🚲/🏳️‍🌈", "👩‍🚀 and 🇪🇺"),
        line("/e\u0301tude", "e and a combining accent"),
        line("/\u00e9tude", "the same to the eye, another key"),
        line("ключ", "значение"),
        line("鍵", "値"),
        line("/long/" + "segment-" * 120, "a key of almost a kilobyte"),
        line(b"\x00", b"\x00"),
        line(b"\x00\x01\x02binary", bytes(range(256))),
        line(b"\xff\xfe\xfd", "a key that is no text"),
        line(b"/half\xc3/utf8", "cut in the middle of a character"),
        line(b"\xff" * 16, "as late as keys go"),
    ]


def odd_values(rng: Random) -> Lines:
    """Empty, broken, compressed, packed, binary and large values."""
    report = json.dumps({"orders": [rng.randint(100, 999) for _ in range(120)]})
    sprite = b"\x89PNG\r\n\x1a\n" + rng.randbytes(512)
    return [
        line("/odd/empty", ""),
        line("/odd/newline", "\n"),
        line("/odd/zero", b"\x00"),
        line("/odd/broken.json", '{"open": [1, 2,'),
        line("/odd/minified.json", report),
        line("/odd/crlf.ini", "[shop]\r\nname = corner\r\n"),
        line("/odd/bom.txt", "\ufeffstarts with a byte order mark"),
        line("/odd/latin1.txt", "Größe".encode("latin-1")),
        line("/odd/report.json.gz", gzip.compress(report.encode(), 0, mtime=0)),
        line("/odd/point.msgpack", b"\x83\xa1x\x01\xa1y\xcb@\t!\xfbTD-\x18\xa4name\xa3dot"),
        line("/odd/number", "18446744073709551616"),
        line("/odd/script.sh", "#!/bin/sh\nset -eu\necho 'restocking'\n"),
        line("/odd/query.sql", "SELECT sku, count(*) FROM orders GROUP BY sku ORDER BY 2 DESC;\n"),
        line("/odd/page.html", "<!doctype html><title>Closed</title><p>Back soon.\n"),
        line("/odd/sprite.png", sprite),
        line("/odd/noise.bin", rng.randbytes(2048)),
        line("/odd/large.txt", "All work and no play makes a dull shop. ", repeat=5_120),
        line("/odd/large.bin", bytes(range(256)), repeat=400),
        line("/odd/gone", "deleted, but still in the history", deleted=True),
        line("/odd/gone-too", "v3", was=["v1", "v2"], deleted=True),
        line("/odd/short-lived", "its lease ends within the hour", lease="short", ttl_s=1800),
        line("/odd/long-lived", "its lease ends in a month", lease="long", ttl_s=30 * DAY_S),
    ]

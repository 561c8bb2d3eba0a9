"""Why a node ended, in one sentence of its log."""

from pathlib import Path

import pytest
from kvorum.cluster.lastwords import last_words

READY = '{"level": "info", "ts": "2026-01-01T00:00:00Z", "msg": "ready to serve client requests"}'
DAMAGED = '{"level": "fatal", "ts": "2026-01-01T00:00:00Z", "msg": "the log is damaged."}'
ZAP = '{"level":"fatal","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"no such"}'
OLD = "2021-04-01 10:00:00.000000 C | etcdmain: listen tcp 127.0.0.1:1: bind: in use"
TRACEBACK = """Traceback (most recent call last):
  File "node.py", line 1, in <module>
    main()
OSError: [Errno 28] No space left on device
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", ""),
        (f"{READY}\n{DAMAGED}\n", "the log is damaged"),
        (f"{READY}\n{ZAP}\n", "discovery failed: no such"),
        (f"{OLD}\n", "listen tcp 127.0.0.1:1: bind: in use"),
        (f"{READY}\n{TRACEBACK}", "OSError: [Errno 28] No space left on device"),
        ("panic: nil map\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: nil map"),
        (
            "flag provided but not defined: -x\nUsage:\n\n  --name\n",
            "flag provided but not defined: -x",
        ),
        (f"{READY}\n", "ready to serve client requests"),
        ("[1]\n3\n", "[1]"),
    ],
)
def test_the_reason_of_a_log(tmp_path: Path, log: str, reason: str) -> None:
    path = tmp_path / "node.log"
    path.write_text(log, encoding="utf-8")
    assert last_words(path, 0) == reason


def test_an_earlier_life_is_not_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    path.write_text(f"{DAMAGED}\n", encoding="utf-8")
    since = path.stat().st_size
    assert last_words(path, since) == ""
    with path.open("a", encoding="utf-8") as log:
        log.write("cannot open the shop\n")
    assert last_words(path, since) == "cannot open the shop"


def test_no_log_and_a_long_one(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    assert last_words(path, 0) == ""
    path.write_text("x" * 2000, encoding="utf-8")
    assert len(last_words(path, 0)) == 600
    # A log that was moved aside meanwhile is read from its beginning.
    path.write_text("short\n", encoding="utf-8")
    assert last_words(path, 10_000) == "short"

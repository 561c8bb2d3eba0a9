"""Numbers as people read them: ages, durations, sizes, counts."""

from __future__ import annotations


def count(n: int) -> str:
    """An integer with thousands separated by commas."""
    return f"{n:,}"


def plural(n: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def short_count(n: int) -> str:
    """An integer in at most five characters."""
    if n < 10_000:
        return str(n)
    for unit, size in (("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)):
        if n < size * 1_000:
            value = n / size
            return f"{value:.1f}{unit}" if value < 100 else f"{value:.0f}{unit}"
    return f"{n:.0e}"


def size(n: int) -> str:
    """Bytes in at most seven characters."""
    value = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def age(seconds: float) -> str:
    """How long ago, in words of at most eight characters."""
    if seconds < 1:
        return "now"
    return f"{span(seconds)} old"


def span(seconds: float) -> str:
    """A duration in one unit, or two for hours and days."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def clock(seconds: float) -> str:
    """A countdown: m:ss, or h:mm:ss from an hour on."""
    whole = max(0, int(seconds))
    if whole < 3_600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3_600}:{whole % 3_600 // 60:02d}:{whole % 60:02d}"


def millis(ms: float) -> str:
    """A latency."""
    if ms < 1:
        return f"{ms:.2f} ms"
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:,.0f} ms"


# What the system or a server says, and what it most often means.
_ADVICE = (
    ("certificate verify failed", "another authority signed it? --cacert FILE names one"),
    ("hostname mismatch", "--tls-server-name NAME, if the certificate has another name"),
    ("bad certificate", "it wants to see a certificate: --cert FILE and --key FILE"),
    ("certificate required", "it wants to see a certificate: --cert FILE and --key FILE"),
    ("invalid user id or password", "ctrl+q, then with another --user or password"),
    ("user name is empty", "it has users: ctrl+q, then with --user NAME"),
    ("before it said anything", "is it a member's client address? https:// if it has TLS"),
)


def advice(error: str) -> str:
    """What may help against an error of connecting; empty when nothing is known."""
    told = error.lower().replace("_", " ")
    return next((what for sign, what in _ADVICE if sign in told), "")

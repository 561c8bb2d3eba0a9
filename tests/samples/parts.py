"""What a company keeps in such a store, piece by piece; every function returns lines of a keys
file.

The names are made up. Nothing depends on the clock or on anything but the ``random.Random``
handed in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from samples.lines import line, pretty

DAY_S = 86_400
Lines = list[dict[str, Any]]

OWNERS = ("mara", "jonas", "wei", "adaeze", "tomas", "ingrid", "sofia", "kenji")


def when(rng: Random) -> str:
    """A moment of a made-up November, in UTC."""
    return f"2026-11-{rng.randint(1, 21):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:00Z"


def version(rng: Random) -> str:
    """A released version."""
    return f"{rng.randint(1, 4)}.{rng.randint(0, 19)}.{rng.randint(0, 9)}"


def registry(rng: Random, prefix: str, services: Sequence[str], zones: Sequence[str]) -> Lines:
    """A service registry: one key an instance, alive as long as its lease."""
    lines = []
    for number, service in enumerate(services):
        release = version(rng)
        for zone in zones:
            for _ in range(rng.randint(1, 2)):
                host = f"10.{number + 1}.{zones.index(zone)}.{rng.randint(2, 250)}"
                instance = f"{service}-{rng.getrandbits(32):08x}"
                value = json.dumps(
                    {
                        "address": f"{host}:{8000 + number}",
                        "zone": zone,
                        "version": release,
                        "weight": rng.choice((50, 100, 100, 100)),
                        "since": when(rng),
                    }
                )
                lines.append(
                    line(f"{prefix}/{service}/{instance}", value, lease=f"host {host}", ttl_s=DAY_S)
                )
    return lines


def flags(rng: Random, prefix: str, areas: dict[str, str]) -> Lines:
    """Feature flags, with the steps in which they were rolled out."""
    lines = []
    for area, names in areas.items():
        for name in names.split():
            kind = rng.randrange(4)
            key = f"{prefix}/{area}/{name}"
            if kind == 0:
                lines.append(line(key, "on", was=["off"]))
            elif kind == 1:
                steps = ["0%", "5%", "25%", "50%", "100%"][: rng.randint(2, 5)]
                lines.append(line(key, steps[-1], was=steps[:-1]))
            elif kind == 2:
                rule = {
                    "enabled": bool(rng.randrange(2)),
                    "owner": rng.choice(OWNERS),
                    "countries": sorted(rng.sample(["DE", "FR", "IT", "JP", "NG", "PL", "US"], 3)),
                    "since": when(rng),
                }
                lines.append(line(key, pretty(rule), was=[pretty({**rule, "enabled": False})]))
            else:
                lines.append(line(key, "off"))
    return lines


def app_config(rng: Random, prefix: str, environments: Sequence[str], apps: Sequence[str]) -> Lines:
    """Configuration: YAML for the service, TOML for its pool, JSON for its logs, in each
    environment.
    """
    lines = []
    for environment in environments:
        for app in apps:
            base = f"{prefix}/{environment}/{app}"
            lines.append(line(f"{base}/service.yaml", _yaml(rng, app, environment)))
            sizes = sorted(rng.sample((5, 10, 20, 40, 80), 3))
            pools = [_toml(app, size) for size in sizes]
            lines.append(line(f"{base}/database.toml", pools[-1], was=pools[:-1]))
            level = "debug" if environment == "dev" else rng.choice(("info", "info", "warning"))
            log = {"level": level, "format": "json", "sampling": rng.choice((1.0, 0.1))}
            lines.append(line(f"{base}/logging.json", pretty(log)))
    return lines


def _yaml(rng: Random, app: str, environment: str) -> str:
    return (
        f"# {app}, {environment}\n"
        f"service:\n  name: {app}\n  replicas: {rng.randint(1, 8)}\n"
        f"  timeout: {rng.choice((250, 500, 1000, 2500))}ms\n"
        f"  retries:\n    attempts: {rng.randint(1, 4)}\n    backoff: [50ms, 200ms, 1s]\n"
        f"endpoints:\n  - /{app}/v1\n  - /healthz\n"
    )


def _toml(app: str, size: int) -> str:
    return (
        f'[pool]\nname = "{app}"\nmax_connections = {size}\nidle_timeout_s = 30\n\n'
        f'[pool.primary]\nhost = "db-{app}.internal"\nport = 5432\n'
    )


def locks(rng: Random, prefix: str, jobs: Sequence[str]) -> Lines:
    """Locks as clients write them: a key for the holder and one for everybody in the queue."""
    lines = []
    for job in jobs:
        for place in range(rng.randint(1, 3)):
            lease = f"{rng.getrandbits(40) + (0x694D << 48):x}"
            lines.append(
                line(f"{prefix}/{job}/{lease}", f"worker-{place}", lease=lease, ttl_s=DAY_S)
            )
    return lines


def sessions(rng: Random, prefix: str, count: int) -> Lines:
    """Sessions that end with their lease."""
    lines = []
    for _ in range(count):
        name = f"{rng.getrandbits(64):016x}"
        value = json.dumps(
            {
                "user": rng.randint(1000, 9999),
                "basket": rng.randint(0, 7),
                "locale": rng.choice(("de-AT", "en-GB", "fr-FR", "ja-JP", "pl-PL")),
                "seen": when(rng),
            }
        )
        lines.append(line(f"{prefix}/{name}", value, lease=f"session {name[0]}", ttl_s=2 * 3600))
    return lines


def kubernetes(rng: Random, namespaces: dict[str, str]) -> Lines:
    """Objects under ``/registry``, in the binary envelope that Kubernetes' API server writes."""
    lines = []
    for namespace, apps in namespaces.items():
        lines.append(_object("namespaces", "v1", "Namespace", namespace, ""))
        for app in apps.split():
            lines.append(_object("services/specs", "v1", "Service", app, namespace))
            lines.append(_object("deployments", "apps/v1", "Deployment", app, namespace))
            settings = pretty({"app": app, "threads": rng.randint(2, 16)})
            lines.append(line(f"/registry/configmaps/{namespace}/{app}", settings))
            for _ in range(rng.randint(1, 3)):
                pod = f"{app}-{rng.getrandbits(36):09x}-{rng.getrandbits(20):05x}"
                lines.append(_object("pods", "v1", "Pod", pod, namespace))
    return lines


def _object(resource: str, api: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
    meta = _field(1, name.encode()) + (_field(3, namespace.encode()) if namespace else b"")
    kind_of = _field(1, api.encode()) + _field(2, kind.encode())
    envelope = _field(1, kind_of) + _field(2, _field(1, meta)) + _field(3, b"") + _field(4, b"")
    folder = f"{namespace}/" if namespace else ""
    return line(f"/registry/{resource}/{folder}{name}", b"k8s\x00" + envelope)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field of fewer than 128 bytes, or two bytes of length."""
    size = len(data)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + data


THINGS = ("lamp", "kettle", "chair", "rug", "vase", "shelf", "clock", "stool", "mirror", "tray")
MATERIALS = ("oak", "brass", "linen", "glass", "wool", "cork", "enamel", "willow")


def products(rng: Random, prefix: str, count: int) -> Lines:
    """A catalogue whose prices have changed now and then."""
    lines = []
    for number in range(count):
        name = f"{rng.choice(MATERIALS)} {rng.choice(THINGS)}"
        prices = [rng.randint(9, 240) for _ in range(rng.randint(1, 4))]
        versions = [
            json.dumps({"name": name, "price": price, "currency": "EUR", "stock": stock})
            for price in prices
            for stock in [rng.randint(0, 90)]
        ]
        lines.append(line(f"{prefix}/{10_000 + 7 * number}", versions[-1], was=versions[:-1]))
    return lines


def names_of_hosts(rng: Random, prefix: str, hosts: Sequence[str]) -> Lines:
    """DNS records under a reversed name, as CoreDNS reads them."""
    lines = []
    for host in hosts:
        for number in range(2):
            record = {"host": f"10.96.{rng.randint(0, 255)}.{rng.randint(2, 254)}", "ttl": 30}
            lines.append(line(f"{prefix}/internal/corner/{host}/x{number + 1}", json.dumps(record)))
    return lines


def pages(rng: Random, prefix: str, topics: Sequence[str]) -> Lines:
    """Short pages in Markdown, most of them edited once or twice."""
    lines = []
    for topic in topics:
        title = topic.replace("-", " ").capitalize()
        drafts = [f"# {title}\n\nTo be written by {rng.choice(OWNERS)}.\n"]
        drafts += [
            f"# {title}\n\n- checked on {when(rng)}\n- steps: {step + 2}\n"
            for step in range(rng.randint(0, 2))
        ]
        lines.append(line(f"{prefix}/{topic}.md", drafts[-1], was=drafts[:-1]))
    return lines


GREETINGS = {
    "ar": ("مرحبا", "عربة التسوق", "شكرا"),
    "de": ("Grüß Gott", "Warenkorb", "Danke schön"),
    "el": ("Γεια σας", "Καλάθι", "Ευχαριστώ"),
    "en": ("Hello", "Basket", "Thank you"),
    "fr": ("Bonjour", "Panier", "Merci"),
    "he": ("שלום", "עגלה", "תודה"),
    "hi": ("नमस्ते", "टोकरी", "धन्यवाद"),
    "ja": ("こんにちは", "買い物かご", "ありがとう"),
    "ko": ("안녕하세요", "장바구니", "감사합니다"),
    "pl": ("Dzień dobry", "Koszyk", "Dziękuję"),
    "th": ("สวัสดี", "ตะกร้า", "ขอบคุณ"),
    "zh": ("你好", "购物车", "谢谢"),
}


def translations(prefix: str) -> Lines:
    """Texts in many scripts."""
    return [
        line(f"{prefix}/{language}/{name}", text)
        for language, texts in GREETINGS.items()
        for name, text in zip(("hello", "basket", "thanks"), texts, strict=True)
    ]

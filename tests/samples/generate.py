"""Writes ``keys.jsonl`` of the sample clusters: ``python tests/samples/generate.py`` from the
top directory.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

from samples import odd, parts  # noqa: E402
from samples.lines import dumps, line  # noqa: E402

SHOP = [
    "accounts",
    "cart",
    "catalog",
    "checkout",
    "gateway",
    "inventory",
    "mail",
    "media",
    "orders",
    "payments",
    "pricing",
    "recommendations",
    "reviews",
    "search",
    "shipping",
]
SHOP_FLAGS = {
    "checkout": "express guest one-page gift-wrap invoice crypto split-payment address-check",
    "search": "typo-tolerance vector synonyms facets-v2 voice autocomplete",
    "catalog": "dark-mode video-previews size-advisor bundles back-in-stock compare",
    "cart": "merge-on-login save-for-later free-shipping-bar cross-sell timer",
    "mail": "abandoned-cart weekly-digest price-drop review-request",
    "payments": "3ds2 retry-soft-declines apple-pay sepa-instant store-credit",
    "platform": "read-only shadow-traffic canary chaos-friday brownout http3 new-balancer",
}
WIKI_VERBS = ("restart", "upgrade", "restore", "rename", "debug")


def one() -> str:
    """The single node of a small team: everything once."""
    rng = Random("one")
    apps = ["api", "worker", "web", "cron", "billing", "ci", "wiki", "metrics", "chat", "registry"]
    areas = {
        "web": "beta-banner new-login cookie-notice markdown tables",
        "api": "v2 rate-limit etag compression pagination",
        "ops": "maintenance backup-window alerts paging",
    }
    machines = [
        line(f"/inventory/machines/{name}/{field}", value)
        for number, name in enumerate(
            ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine"]
        )
        for field, value in (
            ("address", f"192.168.7.{number + 10}"),
            ("owner", parts.OWNERS[number % len(parts.OWNERS)]),
            ("memory_mib", str(2048 << number % 4)),
            ("notes.md", f"# {name}\n\nShelf {number // 3 + 1}. Ask before rebooting.\n"),
        )
    ]
    lines = [
        *machines,
        *parts.registry(rng, "/services", apps, ["cellar", "attic"]),
        *parts.flags(rng, "/flags", areas),
        *parts.app_config(rng, "/config", ["dev", "prod", "staging", "test"], apps),
        *parts.locks(rng, "/locks", ["backup", "migrate", "reindex", "deploy"]),
        *parts.sessions(rng, "/sessions", 60),
        *parts.products(rng, "/shop/articles", 180),
        *parts.names_of_hosts(rng, "/skydns", apps),
        *parts.pages(
            rng, "/wiki", [f"{verb}-the-{thing}" for verb in WIKI_VERBS for thing in apps]
        ),
        *parts.translations("/texts"),
        *odd.odd_keys(),
        *odd.odd_values(rng),
    ]
    return dumps(lines)


def three() -> str:
    """The shop: services in three zones, their flags and configuration, sessions, a corner of
    Kubernetes.
    """
    rng = Random("three")
    lines = [
        *parts.registry(rng, "/services", SHOP, ["zone-a", "zone-b", "zone-c"]),
        *parts.flags(rng, "/flags", SHOP_FLAGS),
        *parts.app_config(rng, "/config", ["dev", "staging", "prod"], SHOP),
        *parts.locks(
            rng, "/locks", ["invoices", "price-import", "stock-sync", "sitemap", "refunds"]
        ),
        *parts.sessions(rng, "/sessions", 80),
        *parts.products(rng, "/catalog/products", 200),
        *parts.names_of_hosts(rng, "/skydns", SHOP),
        *parts.kubernetes(rng, {"shop": "cart checkout search", "tools": "grafana"}),
        *parts.translations("/i18n"),
        *odd.odd_keys(),
        *odd.odd_values(rng),
    ]
    return dumps(lines)


def five() -> str:
    """The shop grown up: five regions, and much of a Kubernetes control plane."""
    rng = Random("five")
    regions = ["ap-south", "eu-central", "eu-west", "us-east", "us-west"]
    namespaces = {
        "kube-system": "coredns metrics-server cluster-autoscaler",
        "shop": " ".join(SHOP),
        "data": "kafka clickhouse airflow minio",
        "observability": "grafana loki tempo prometheus alertmanager",
    }
    quotas = [
        line(f"/quotas/{region}/{service}", str(limit), was=[str(limit // 4), str(limit // 2)])
        for region in regions
        for service in SHOP
        for limit in [rng.choice((200, 400, 800, 1600))]
    ]
    lines = [
        *quotas,
        *parts.registry(rng, "/services", SHOP, regions),
        *parts.flags(rng, "/flags", SHOP_FLAGS),
        *parts.app_config(rng, "/config", ["prod"], SHOP),
        *parts.locks(rng, "/locks", [f"rebalance-{region}" for region in regions]),
        *parts.sessions(rng, "/sessions", 100),
        *parts.products(rng, "/catalog/products", 150),
        *parts.kubernetes(rng, namespaces),
        *parts.translations("/i18n"),
        *odd.odd_keys(),
        *odd.odd_values(rng),
    ]
    return dumps(lines)


SAMPLES = {"one": one, "three": three, "five": five}


def main() -> None:
    """Write every file."""
    for name, make in SAMPLES.items():
        path = TOP / "sample_clusters" / name / "keys.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
        print(f"{path.relative_to(TOP)}: {len(path.read_text(encoding='utf-8').splitlines())} keys")


if __name__ == "__main__":
    main()

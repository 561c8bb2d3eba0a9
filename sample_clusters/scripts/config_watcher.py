"""Follow a program's configuration: every key under a prefix, now and at each change.

    python config_watcher.py --endpoints http://127.0.0.1:2379 --prefix /config/app/

Then, in another terminal: ``kvorum put /config/app/level debug``. The copy is always the state
of one revision; when the connection breaks it goes on where it was, on another member.
"""

import argparse
import asyncio

from kvorum import Client


def show(config: dict[str, str]) -> None:
    """Print the configuration on one line."""
    settings = ", ".join(f"{name}={value}" for name, value in sorted(config.items()))
    print("config:", settings, flush=True)


async def follow(endpoints: str, prefix: str, changes: int | None) -> None:
    """Print the configuration, and again after each change."""
    async with Client(endpoints) as client, client.mirror(prefix) as mirror:

        def config() -> dict[str, str]:
            return {
                kv.key.decode().removeprefix(prefix): kv.value.decode() for kv in mirror.items()
            }

        show(config())
        seen = config()
        async for _ in mirror:
            if config() == seen:
                continue  # A notice of progress: nothing is different.
            seen = config()
            show(seen)
            changes = None if changes is None else changes - 1
            if changes == 0:
                return


def main() -> None:
    """Read the arguments and follow until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", default="http://127.0.0.1:2379")
    parser.add_argument("--prefix", default="/config/app/")
    parser.add_argument("--changes", type=int, help="end after so many changes")
    arguments = parser.parse_args()
    try:
        asyncio.run(follow(arguments.endpoints, arguments.prefix, arguments.changes))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

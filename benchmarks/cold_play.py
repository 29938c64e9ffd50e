"""One cold recording and many listeners: our service, nginx's proxy_cache and Varnish side by side, in one run.

    .venv/bin/python -m benchmarks.cold_play --install        nginx and Varnish from Debian's packages, as root
    .venv/bin/python -m benchmarks.cold_play --rounds 5
    .venv/bin/python -m benchmarks.cold_play --only ours      without the peers

The origin sends its first byte after 300 ms and then 4 MB/s. Each measurement has a recording that nobody has asked
for. Every byte of every listener is compared. Times are from the moment at which all requests go out, connections
being open; the client is one thread. A round measures one direct client and then every server; what is printed are
medians of rounds, ratios being taken within a round. docs/performance.md says what it means.
"""

import argparse
import http.client
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import cold_live, cold_origin
from benchmarks.cold_origin import Origin
from benchmarks.cold_report import COLUMNS, SCENES, Bar, Heard, Row, crowd_bars, join_bar, rush_bars, status_bar
from benchmarks.cold_servers import Direct, Ours, Peer, Server, install_peers, missing_peers
from benchmarks.crowd import Listener, hear, percentile

SLOW_SECONDS = {"join": 30, "status": 30, "rush": 30}


def names(scene: str, server: str, number: int) -> list[str]:
    """The recordings of one measurement."""
    label = "".join(letter for letter in f"{scene}-{server}" if letter.isalnum() or letter == "-").lower()
    count = SCENES[scene][1] if scene in SCENES else 1
    return [cold_origin.name(f"{label}-r{number}-{index}") for index in range(count)]


def measure(origin: Origin, server: Server, recordings: list[str], listeners: int) -> Heard:
    """Let that many listeners hear the recordings at once, each the next one."""
    bodies = {recording: cold_origin.audio(recording).body for recording in recordings}
    turns = [recordings[number % len(recordings)] for number in range(listeners)]
    crowd = [Listener(server.address, server.request(one), bodies[one]) for one in turns]
    hear(crowd)
    firsts, wholes = [one.first for one in crowd], [one.whole for one in crowd]
    right = sum(one.right and one.whole == one.whole for one in crowd)  # NaN is not equal to itself
    fetches = sum(fetched(origin, recording) for recording in recordings)
    return Heard(
        fetches, right, listeners, percentile(firsts, 50), percentile(firsts, 99), percentile(wholes, 99)
    )  # fmt: skip


def fetched(origin: Origin, recording: str) -> int:
    """How often the origin was asked for it."""
    connection = http.client.HTTPConnection(origin.address, timeout=10)
    try:
        connection.request("GET", f"/fetches/{recording}")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def table(origin: Origin, servers: dict[str, Server], rounds: int) -> list[Row]:
    """All scenes at all servers, round by round."""
    direct_client = Direct(origin)
    direct = [measure(origin, direct_client, names("direct", "direct", 0), 1)]
    rows = {(name, scene): Row(name, scene, [], []) for scene in SCENES for name in servers}
    for number in range(1, rounds + 1):
        direct.append(measure(origin, direct_client, names("direct", "direct", number), 1))
        for (name, scene), row in rows.items():
            run = measure(origin, servers[name], names(scene, name, number), SCENES[scene][0])
            row.runs.append(run)
            row.direct.append(direct[-1])
    return [Row("one client, direct", "1 × 1", direct[1:], direct[1:]), *rows.values()]


def needed(rounds: int) -> Iterable[str]:
    """All recordings that our service has to know of."""
    for number in range(rounds + 1):
        for scene in SCENES:
            yield from names(scene, "ours", number)
        yield from names("ready", "ours", number)
        for label, seconds in SLOW_SECONDS.items():
            yield cold_live.slow(f"{label}-r{number}", seconds)


def alone(ours: Ours, rounds: int) -> list[Bar]:
    """What only our service is asked."""
    joined, asked = [], []
    for number in range(1, rounds + 1):
        slow = {label: cold_live.slow(f"{label}-r{number}", seconds) for label, seconds in SLOW_SECONDS.items()}
        joined.append(cold_live.join(ours, slow["join"], names("ready", "ours", number)[0]))
        asked.append(cold_live.statuses(ours, slow["status"]))
    rushed = cold_live.rush(ours, cold_live.slow("rush-r1", SLOW_SECONDS["rush"]))
    return [join_bar(joined), status_bar(asked), *rush_bars(rushed)]


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each figure (5)")
    parser.add_argument("--only", choices=["ours"], help="without nginx and Varnish")
    parser.add_argument(
        "--part", choices=["crowds", "living"], help="half of it: the table, or what only ours is asked"
    )
    parser.add_argument(
        "--install", action="store_true", help="install nginx and Varnish first, where they are missing"
    )
    options = parser.parse_args()
    if not options.only and options.part != "living" and (missing := missing_peers()):
        if not options.install:
            parser.error(f"not installed: {', '.join(missing)}. Use --install (as root, Debian) or --only ours.")
        install_peers()
    return options


def start(stack: ExitStack, origin: Origin, rounds: int, peers: bool) -> tuple[dict[str, Server], Ours]:
    """All servers, warm, and ours among them; the stack ends them."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    servers: dict[str, Server] = {}
    for name in ("nginx", "Varnish") if peers else ():
        servers[name] = Peer(name, folder / name, origin)
        stack.callback(servers[name].stop)
    ours = servers["ours"] = Ours(folder / "ours", origin, needed(rounds))
    stack.callback(ours.stop)
    for name, server in servers.items():
        measure(origin, server, names("50 × 1", name, 0), 50)
    return servers, ours


def main() -> None:
    """Start everything, measure, print."""
    options = parse()
    bars: list[Bar] = []
    with ExitStack() as stack:
        origin = stack.enter_context(Origin())
        peers = not options.only and options.part != "living"
        servers, ours = start(stack, origin, options.rounds, peers)
        if options.part != "living":
            rows = table(origin, servers, options.rounds)
            print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS))
            for row in rows:
                row.print()
            bars += crowd_bars(rows)
        if options.part != "crowds":
            bars += alone(ours, options.rounds)
    print("\n| bar | found | |\n| --- | --- | --- |")
    for bar in bars:
        bar.print()


if __name__ == "__main__":
    main()

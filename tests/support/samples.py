"""What a server shows to Prometheus, as its tests read it."""

from __future__ import annotations

from support.raw import RawClient, Response


def scrape(port: int, path: str = "/metrics") -> Response:
    """A page of the figures' own address, by a connection of its own."""
    with RawClient(("127.0.0.1", port)) as client:
        client.send_request("GET", path, ("Host", "figures"))
        return client.read_response()


def samples(response: Response) -> dict[str, float]:
    """Every sample of an answer, by its name with labels as it is written."""
    assert response.status == 200
    lines = response.body.decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}

"""Numbers for Prometheus, of one server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOGETHER = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What is counted while requests are answered."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        named, registry = ("route", "status"), self.registry
        self.requests = Counter("genrec_requests", "Requests that were answered.", named, registry=registry)
        self.seconds = Histogram(
            "genrec_request_seconds", "From a request to its answer.", ("route",), buckets=SECONDS, registry=registry
        )
        self.waiting = Gauge("genrec_requests_waiting", "Requests without an answer as yet.", registry=registry)
        self.batch = Histogram(
            "genrec_batch_requests", "Requests that were taken together.", buckets=TOGETHER, registry=registry
        )
        self.swaps = Counter("genrec_swaps", "New folders, taken or refused.", ("run", "result"), registry=registry)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)

"""Prometheus metrics of one process, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Names begin with `hoatoc_`; labels are operation ids, states and lanes, never people or documents."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "hoatoc_requests", "Answered requests", ["operation", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "hoatoc_request_seconds",
            "Time to answer",
            ["operation"],
            registry=self.registry,
            buckets=(0.005, 0.02, 0.05, 0.1, 0.3, 1, 3, 10),
        )
        self._jobs = Counter("hoatoc_jobs", "Ended jobs", ["kind", "outcome"], registry=self.registry)
        self._depth = Gauge("hoatoc_outbox_waiting", "Jobs that wait", ["lane"], registry=self.registry)
        self._age = Gauge(
            "hoatoc_outbox_oldest_due_seconds", "Age of the oldest due job", ["lane"], registry=self.registry
        )
        self._buried = Gauge("hoatoc_outbox_buried", "Dead letters", ["lane"], registry=self.registry)
        self._parked = Gauge("hoatoc_incoming_parked", "Packets that came and were put aside", registry=self.registry)
        self._streams = Gauge("hoatoc_live_streams", "Open live streams", registry=self.registry)
        self._documents = Gauge("hoatoc_documents", "Documents by state", ["state"], registry=self.registry)
        self._overdue = Counter(
            "hoatoc_documents_overdue", "Alarms: documents too long in a state", ["state"], registry=self.registry
        )

    def request(self, operation: str, status: int, seconds: float) -> None:
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)

    def job(self, kind: str, outcome: str) -> None:
        self._jobs.labels(kind, outcome).inc()

    def backlog(self, lane: str, *, waiting: int, oldest_due_us: int, buried: int) -> None:
        self._depth.labels(lane).set(waiting)
        self._age.labels(lane).set(oldest_due_us / 1e6)
        self._buried.labels(lane).set(buried)

    def parked(self, count: int) -> None:
        self._parked.set(count)

    def streams(self, count: int) -> None:
        self._streams.set(count)

    def documents(self, state: str, count: int) -> None:
        self._documents.labels(state).set(count)

    def overdue(self, state: str) -> None:
        self._overdue.labels(state).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)

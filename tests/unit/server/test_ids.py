import threading
import time
import uuid

from server.ids import created_ms, is_id, new_id


def test_an_id_is_a_version_7_uuid_of_now():
    before = time.time_ns() // 1_000_000
    identifier = new_id()
    parsed = uuid.UUID(identifier)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.hex == identifier
    assert before <= created_ms(identifier) <= time.time_ns() // 1_000_000 + 1


def test_ids_strictly_increase_over_threads():
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into):
        for _ in range(5000):
            into.append(new_id())

    threads = [threading.Thread(target=make, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == sorted(one) for one in made)
    assert len({identifier for one in made for identifier in one}) == 20_000


def test_ids_increase_when_the_wall_clock_steps_back(monkeypatch):
    now = time.time_ns() + 60_000_000_000
    monkeypatch.setattr("server.ids.time.time_ns", lambda: now)
    first = [new_id() for _ in range(100)]
    monkeypatch.setattr("server.ids.time.time_ns", lambda: now - 5_000_000_000)
    second = [new_id() for _ in range(100)]
    assert first + second == sorted(set(first + second))


def test_a_full_tail_carries_into_the_millisecond(monkeypatch):
    from server import ids

    generator = ids._Generator()
    generator._millisecond = 2**47
    generator._tail = 2**74 - 1
    identifier = generator.next()
    assert created_ms(identifier) == 2**47 + 1
    assert is_id(identifier)


def test_only_the_exact_form_is_an_id():
    good = new_id()
    assert is_id(good)
    for bad in (good.upper(), good[:-1], good + "0", str(uuid.UUID(good)), uuid.uuid4().hex, "", good + "\n", "g" * 32):
        assert not is_id(bad)

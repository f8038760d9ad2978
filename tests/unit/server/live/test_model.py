"""Places and the events that lead from one to another."""

import random

from server.live.model import BEAT, Places, Topic, events, places_of


def test_events_lead_from_any_place_to_any_other():
    """Each event's id is where a client stands who was cut behind it."""
    chosen = random.Random(3)
    for _ in range(500):
        told_ = Places(*(chosen.randrange(3) for _ in Topic))
        now = Places(*(chosen.randrange(3) for _ in Topic))
        blocks = events(told_, now).decode().split("\n\n")[:-1]
        place = told_
        for block in blocks:
            lines = block.split("\n")
            reached = places_of(lines[0].removeprefix("id: "))
            if lines[1] != "event: reload":
                name = lines[1].removeprefix("event: ")
                assert reached == place._replace(**{name: getattr(now, name)}) != place
            else:
                assert any(map(int.__gt__, told_, now))
            place = reached
        assert place == now
    assert events(None, Places()) == b"id: 0-0-0\nevent: reload\ndata: {}\n\n"
    assert BEAT.startswith(b":")

"""Children that crash, hang, swell, lie or are killed: the caller gets a typed answer, the server lives (threats B3, B4, D12, D13)."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

import server.sandbox.pool
from server.sandbox.model import Failure, Overloaded, Priority, SandboxFailure, SandboxRefused
from server.sandbox.pool import Sandbox
from server.sandbox.tasks import TASKS, Task
from tests.unit.server.sandbox.hostile_tasks import Ask, Told

HERE = "tests.unit.server.sandbox.hostile_tasks"
NAMES = [
    "echo",
    "by_name",
    "sleep",
    "refuse",
    "fail",
    "crash",
    "leave",
    "spin",
    "burn",
    "hoard",
    "flood",
    "babble",
    "large",
    "modules",
    "environment",
    "attempt",
]
HOSTILE = {name: Task(f"{HERE}:{name}") for name in NAMES}


def pool(**settings):
    return Sandbox(tasks=HOSTILE, **settings)


async def failure(sandbox, task, ask, **settings):
    with pytest.raises(SandboxFailure) as caught:
        await sandbox.call(task, ask, Told, **settings)
    return caught.value


@pytest.mark.asyncio
async def test_each_call_meets_a_process_of_its_own():
    async with pool() as sandbox:
        answers = [await sandbox.call("echo", Ask(text="quyết định"), Told) for _ in range(3)]
    assert {answer.text for answer in answers} == {"quyết định"}
    assert len({answer.number for answer in answers}) == 3
    assert os.getpid() not in {answer.number for answer in answers}


@pytest.mark.asyncio
async def test_arguments_by_name_reach_the_function_typed():
    async with pool() as sandbox:
        told = await sandbox.call("by_name", {"path": Path("/a/b.pdf"), "ask": Ask(text="!")}, Told)
        assert told.text == "b.pdf!!"
        error = await failure(sandbox, "by_name", {"path": Path("/a"), "ask": Ask(), "unknown": 1})
    assert error.code is Failure.CRASHED


@pytest.mark.asyncio
async def test_code_of_the_library_travels_back_typed_and_its_text_stays():
    async with pool() as sandbox:
        with pytest.raises(SandboxRefused) as caught:
            await sandbox.call("refuse", Ask(), Told)
    assert caught.value.code == "hidden-content"
    assert caught.value.fields == {"reason": "overlay", "place": "12 0"}
    assert "must stay" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["assertion", "recursion", "type", "system-exit"])
async def test_any_exception_is_a_crash_without_its_text(kind):
    """Threat B4: libraries raise what they like."""
    async with pool() as sandbox:
        error = await failure(sandbox, "fail", Ask(text=kind))
    assert error.code is Failure.CRASHED
    assert "must stay" not in str(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
async def test_death_by_signal_is_a_crash_and_the_next_call_works(number):
    async with pool() as sandbox:
        assert (await failure(sandbox, "crash", Ask(number=number))).code is Failure.CRASHED
        assert (await failure(sandbox, "leave", Ask(number=0))).code is Failure.CRASHED
        assert (await sandbox.call("echo", Ask(text="alive"), Told)).text == "alive"


@pytest.mark.asyncio
async def test_wall_time_is_enforced_by_the_parent():
    async with pool() as sandbox:
        error = await failure(sandbox, "sleep", Ask(number=3_600_000), timeout_s=0.3)
    assert (error.code, error.detail) == (Failure.TIMEOUT, "wall time")


@pytest.mark.asyncio
async def test_cpu_time_is_enforced_by_the_kernel(monkeypatch):
    """The wall limit is far away: only RLIMIT_CPU can end the loop here."""
    monkeypatch.setattr(server.sandbox.pool, "_WALL", 3600)
    async with pool() as sandbox:
        error = await failure(sandbox, "spin", Ask(), timeout_s=1)
    assert (error.code, error.detail) == (Failure.TIMEOUT, "CPU time")


@pytest.mark.asyncio
async def test_memory_is_bounded_above_the_loaded_code():
    async with pool() as sandbox:
        assert (await failure(sandbox, "hoard", Ask(number=512), memory_mb=128)).code is Failure.MEMORY
        assert (await sandbox.call("hoard", Ask(number=64), Told, memory_mb=128)).number == 4


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("task", "ask"),
    [
        ("flood", Ask(text="length")),
        ("flood", Ask()),
        ("babble", Ask()),
        ("babble", Ask(text="text")),
        ("babble", Ask(text="deep")),
        ("large", Ask(number=5_000_000)),
    ],
)
async def test_answer_that_is_too_long_or_malformed_is_a_crash(task, ask):
    async with pool() as sandbox:
        assert (await failure(sandbox, task, ask)).code is Failure.CRASHED


@pytest.mark.asyncio
async def test_answer_of_another_shape_is_a_crash():
    async with pool() as sandbox:
        with pytest.raises(SandboxFailure) as caught:
            await sandbox.call("echo", Ask(text="x"), int)
    assert caught.value.code is Failure.CRASHED


@pytest.mark.asyncio
async def test_task_outside_the_closed_list_is_a_defect_of_the_caller():
    async with pool() as sandbox:
        with pytest.raises(KeyError):
            await sandbox.call("os.system", Ask(), Told)
    assert all(
        task.target.startswith(("signing.pdf.", "server.pdftasks:", "server.previews.render:"))
        for task in TASKS.values()
    )


@pytest.mark.asyncio
async def test_child_killed_from_outside_is_tried_once_more():
    """Threat D12: the out-of-memory killer says nothing about the document."""
    async with pool(concurrency=1) as sandbox:
        await sandbox.call("echo", Ask(), Told)
        call = asyncio.create_task(sandbox.call("sleep", Ask(number=500), Told))
        first = await _working_child(sandbox)
        os.kill(first, signal.SIGKILL)
        assert (await call).number != first


@pytest.mark.asyncio
async def test_zygote_killed_is_replaced_and_calls_go_on():
    async with pool(concurrency=2) as sandbox:
        await sandbox.start()
        calls = [asyncio.create_task(sandbox.call("sleep", Ask(number=300), Told)) for _ in range(4)]
        await asyncio.sleep(0.1)
        before = sandbox._processes._zygote.pid
        os.kill(before, signal.SIGKILL)
        assert len({told.number for told in await asyncio.gather(*calls)}) == 4
        assert sandbox._processes._zygote.pid != before


@pytest.mark.asyncio
async def test_cancelled_call_kills_its_child_and_gives_the_place_back():
    async with pool(concurrency=1) as sandbox:
        await sandbox.call("echo", Ask(), Told)
        call = asyncio.create_task(sandbox.call("sleep", Ask(number=3_600_000), Told, timeout_s=3600))
        child = await _working_child(sandbox)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await sandbox.call("echo", Ask(text="next"), Told)).text == "next"
        assert not Path(f"/proc/{child}").exists()


@pytest.mark.asyncio
async def test_full_queue_refuses_at_once():
    """Threat D13."""
    async with pool(concurrency=1, queue=2) as sandbox:
        calls = [asyncio.create_task(sandbox.call("sleep", Ask(number=200), Told)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await sandbox.call("echo", Ask(), Told)
        assert len(await asyncio.gather(*calls)) == 3


@pytest.mark.asyncio
async def test_interactive_call_overtakes_waiting_background_work():
    done = []

    async def run(name, priority):
        await sandbox.call("sleep", Ask(number=30), Told, priority=priority)
        done.append(name)

    async with pool(concurrency=1) as sandbox:
        await sandbox.start()
        background = [asyncio.create_task(run(f"warm{i}", Priority.BACKGROUND)) for i in range(4)]
        await asyncio.sleep(0.01)
        await run("open", Priority.INTERACTIVE)
        assert "warm3" not in done
        await asyncio.gather(*background)
    assert done.index("open") <= 1


@pytest.mark.asyncio
async def test_idle_pool_keeps_only_the_zygote_and_close_leaves_nothing():
    sandbox = pool(spare_idle_s=0.05)
    await sandbox.call("echo", Ask(), Told)
    zygote = sandbox._processes._zygote.pid
    for _ in range(100):
        await asyncio.sleep(0.02)
        if not _children(zygote):
            break
    assert _children(zygote) == []
    await sandbox.close()
    assert not Path(f"/proc/{zygote}").exists()
    with pytest.raises(SandboxFailure):
        await sandbox.call("echo", Ask(), Told)


@pytest.mark.asyncio
async def test_renderer_process_is_light_and_knows_nothing_of_the_server(monkeypatch):
    monkeypatch.setenv("HOATOC_PEPPER", "canary")
    async with Sandbox(tasks={**TASKS, **HOSTILE}) as sandbox:
        loaded = {name.partition(".")[0] for name in (await sandbox.call("modules", Ask(), Told)).names}
        environment = (await sandbox.call("environment", Ask(), Told)).names
        zygote = Path(f"/proc/{sandbox._processes._zygote.pid}/smaps_rollup").read_text()
    assert {"pypdfium2", "PIL"} <= loaded
    assert sorted(loaded & {"litestar", "firebase_admin", "lxml", "google", "asyncio", "pyhanko"}) == []
    assert set(environment) - {"LC_CTYPE"} == {"GLIBC_TUNABLES", "LANG", "MALLOC_ARENA_MAX", "PATH"}
    pss_kib = next(int(line.split()[1]) for line in zygote.splitlines() if line.startswith("Pss:"))
    assert pss_kib < 45 * 1024
    assert "asyncio" in sys.modules


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def _working_child(sandbox):
    """The one child that holds the call, once the spare has been taken."""
    for _ in range(200):
        await asyncio.sleep(0.01)
        spare = sandbox._processes._spare
        children = _children(sandbox._processes._zygote.pid)
        if spare is None and len(children) == 1:
            return children[0]
    raise AssertionError


# --- several tasks on one document -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_tasks_on_one_document_meet_one_process_and_the_next_document_another():
    async with pool() as sandbox:
        numbers = []
        for _ in range(2):
            with sandbox.child() as child:
                numbers.append({(await child.call("echo", Ask(text="a"), Told)).number for _ in range(3)})
    assert [len(each) for each in numbers] == [1, 1]
    assert numbers[0] != numbers[1]


@pytest.mark.asyncio
async def test_walls_of_the_first_task_stand_for_the_second(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.write_bytes(b"1")
    other.write_bytes(b"2")
    async with pool() as sandbox:
        with sandbox.child(reads=[mine]) as child:
            await child.call("echo", Ask(), Told)
            told = await child.call("attempt", Ask(text=f"read {mine}"), Told)
            closed = await child.call("attempt", Ask(text=f"read {other}"), Told)
        landlock = (await sandbox.isolation()).files
    assert (told.text, closed.text) == ("done", "PermissionError" if landlock else "done")


@pytest.mark.asyncio
async def test_cpu_time_is_counted_over_all_tasks_of_a_child(monkeypatch):
    monkeypatch.setattr(server.sandbox.pool, "_WALL", 3600)
    async with pool() as sandbox:
        with sandbox.child(timeout_s=2) as child, pytest.raises(SandboxFailure) as caught:
            for _ in range(60):
                await child.call("burn", Ask(number=100), Told)
    assert (caught.value.code, caught.value.detail) == (Failure.TIMEOUT, "CPU time")


@pytest.mark.asyncio
async def test_a_child_that_failed_is_gone_and_a_refusal_ends_nothing():
    async with pool() as sandbox:
        with sandbox.child() as child:
            before = (await child.call("echo", Ask(), Told)).number
            with pytest.raises(SandboxRefused):
                await child.call("refuse", Ask(), Told)
            assert (await child.call("echo", Ask(), Told)).number == before
            with pytest.raises(SandboxFailure):
                await child.call("crash", Ask(number=signal.SIGSEGV), Told)
            assert (await child.call("echo", Ask(), Told)).number != before


@pytest.mark.asyncio
async def test_a_child_that_rests_gives_its_place_to_others_and_goes_on_behind_them():
    async with pool(concurrency=1) as sandbox:
        with sandbox.child() as child:
            before = (await child.call("echo", Ask(), Told)).number
            async with asyncio.timeout(60):
                with child.resting():
                    other = (await sandbox.call("echo", Ask(), Told)).number
                after = (await child.call("echo", Ask(), Told)).number
        assert sandbox._processes.places.taken <= 1
        async with asyncio.timeout(60):
            await sandbox.call("echo", Ask(), Told)
    assert other != before == after


@pytest.mark.asyncio
async def test_a_child_that_is_killed_while_it_rests_is_replaced():
    async with pool(concurrency=1) as sandbox:
        with sandbox.child() as child:
            before = (await child.call("echo", Ask(), Told)).number
            with child.resting():
                os.kill(before, signal.SIGKILL)
                async with asyncio.timeout(60):
                    while Path(f"/proc/{before}").exists():  # noqa: ASYNC110 - only the kernel tells
                        await asyncio.sleep(0.01)
            async with asyncio.timeout(60):
                assert (await child.call("echo", Ask(text="alive"), Told)).text == "alive"
        async with asyncio.timeout(60):
            await sandbox.call("echo", Ask(), Told)


@pytest.mark.asyncio
async def test_whoever_stops_waiting_ends_his_child_and_gives_its_place_back():
    async with pool(concurrency=1) as sandbox:

        async def visit():
            with sandbox.child() as child:
                await child.call("echo", Ask(), Told)
                await child.call("sleep", Ask(number=3_600_000), Told)

        task = asyncio.create_task(visit())
        async with asyncio.timeout(60):
            while sandbox._processes.places.taken == 0:  # noqa: ASYNC110 - nobody tells that it began
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(60):
            assert (await sandbox.call("echo", Ask(text="alive"), Told)).text == "alive"

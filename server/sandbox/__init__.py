"""Limited child processes in which hostile files are parsed and rendered (threats B3, B4, B5, D12, D13).

`pool.Sandbox` is the server's side. It starts one light *zygote* (`zygote`) that imports the parsers once and forks a fresh
child (`child`) for every call, so a hostile document meets a clean process at the price of a fork. The child is shut in
(`confine`) before it opens the document, does one closed-list task (`tasks`), answers one frame (`frames`) and is killed.

Import `Sandbox` from `server.sandbox.pool`: this package file stays empty so that the zygote loads no asyncio.
"""

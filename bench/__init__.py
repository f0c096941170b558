"""Performance goals as benchmarks, each compared in one run with a floor on the same machine.

A figure alone says more about the machine than about the server. Therefore every load also runs
against the floor (a bare aiohttp server that does the least that could be called the same work),
and goals are shares of what the floor reached in the same minutes. Memory and processor time are
read from /proc, so the benchmarks need Linux.

Run `python -m bench --help` in the project's root folder.
"""

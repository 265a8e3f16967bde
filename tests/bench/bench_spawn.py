"""Runs one command and says what it cost: ``python -I -S bench_spawn.py FD command ...``.

A process of its own, and so small, because the system counts the memory of whoever starts a command into that
command's peak. Writes "wall ns, user + system seconds, peak KiB, exit status" to the file descriptor.
"""

import posix
import sys
import time

report, command = int(sys.argv[1]), sys.argv[2:]
posix.set_inheritable(report, False)
began = time.monotonic_ns()
pid = posix.posix_spawn(command[0], command, posix.environ)
_, status, used = posix.wait4(pid, 0)
ended = time.monotonic_ns()
code = posix.waitstatus_to_exitcode(status)
posix.write(report, f"{ended - began} {used.ru_utime + used.ru_stime} {used.ru_maxrss} {code}".encode())

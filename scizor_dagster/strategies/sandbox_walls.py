"""The walls around code that nobody has reason to trust: what the kernel lets this process do from now on.

What belongs here: putting them up, one after the other, in the process that they are for; nothing takes one down again.
What does not: what runs behind them (`sandbox_child`), and starting that process (`sandbox`).

- *System calls*: a list of those that computing needs (seccomp); any other fails with EPERM. There is none to make a
  socket, a process or a thread, to run a program, to signal, trace or limit another process, or to mount.
- *Files*: only the interpreter, its libraries and this package can be read, and nothing can be written (Landlock). That
  other files exist can be seen by whoever knows their names; what they hold cannot be read.
- *Privileges*: none, and none can be had (capabilities, no_new_privs).
- *Network*: beside the missing system calls, a name space of its own without any interface, where the kernel gives one.
- *Resources*: memory, processor time, open files, and no byte in any file (`resource`).

Numbers are those of Linux on x86-64: elsewhere there are no walls, and nothing is run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
import sysconfig
from pathlib import Path

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 30
OPEN_FILES = 64
LEAST_LANDLOCK = 3
"""Version that also forbids to cut a file off (Linux 6.2)."""
_ALLOWED = (
    0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 24, 25, 27, 28, 32, 35, 39, 60, 63, 79, 89, 96,
    98, 99, 100, 102, 104, 107, 108, 110, 186, 201, 202, 204, 217, 219, 228, 229, 230, 231, 257, 262, 267, 269, 309,
    318, 332, 334, 439,
)  # fmt: skip
"""read write close stat fstat lstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64
pwrite64 readv writev access sched_yield mremap mincore madvise dup nanosleep getpid exit uname getcwd readlink
gettimeofday getrusage sysinfo times getuid getgid geteuid getegid getppid gettid time futex sched_getaffinity
getdents64 restart_syscall clock_gettime clock_getres clock_nanosleep exit_group openat newfstatat readlinkat faccessat
getcpu getrandom statx rseq faccessat2."""
_FCNTL, _FCNTL_ALLOWED = 72, (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: not those that let a file signal another process."""
_IOCTL, _IOCTL_ALLOWED = 16, (0x5401, 0x5450, 0x5451, 0x541B)
"""TCGETS, FIONCLEX, FIOCLEX, FIONREAD: whether it is a terminal, and whether it is handed on."""
_ARCHITECTURE = 0xC000003E
_LOAD, _EQUALS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001
_NEW_PRIVILEGES, _SET_SECCOMP = 38, 22
_RULESET, _RULE, _RESTRICT = 444, 445, 446
_READ = 0b1100
"""Reading files and listing folders."""
_APART = 0x10000000 | 0x40000000 | 0x08000000 | 0x04000000
"""User, network, IPC and host name."""


class NoWalls(Exception):
    """This kernel does not give what is needed. Says which."""


def limit_resources() -> None:
    """Bound this process's memory, time and files."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))
    # At the first of the two the signal says why; the second cannot be caught.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))


def readable() -> list[str]:
    """Folders that stay readable: the interpreter, its libraries and those of the system, and this package."""
    paths = sysconfig.get_paths()
    own = Path(__file__).resolve().parents[1]
    names = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    names += [os.path.join(sys.base_prefix, "lib"), str(own), "/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo"]
    return sorted({os.path.realpath(name) for name in names if os.path.isdir(name)})


def close_in() -> None:
    """Put up all walls.

    Raises:
        NoWalls: one of them cannot be had here; then this process must not run what they are for.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NoWalls(f"{sys.platform} on {platform.machine()} is not Linux on x86_64")
    kernel = ctypes.CDLL(None, use_errno=True)
    # One wall more where the kernel gives it; the list of system calls leaves none for the network in any case.
    kernel.unshare(_APART)
    if kernel.prctl(_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise NoWalls("the kernel does not keep new privileges away")
    _drop_privileges(kernel)
    _close_files(kernel)
    _close_calls(kernel)


def _drop_privileges(kernel: ctypes.CDLL) -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    if kernel.capset(header, struct.pack("6I", *[0] * 6)):
        raise NoWalls("the kernel does not take privileges away")


def _close_files(kernel: ctypes.CDLL) -> None:
    version = kernel.syscall(_RULESET, None, ctypes.c_size_t(0), 1)
    if version < LEAST_LANDLOCK:
        raise NoWalls(f"the kernel has no Landlock of version {LEAST_LANDLOCK} (Linux 6.2) or it is switched off")
    # Every right over files that the version knows, then TCP, then signals and sockets without a file.
    rights = (1 << 16) - 1 if version >= 5 else (1 << 15) - 1
    words = [rights] + ([3] if version >= 4 else []) + ([3] if version >= 6 else [])
    attributes = struct.pack(f"{len(words)}Q", *words)
    ruleset = kernel.syscall(_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise NoWalls("Landlock makes no rules")
    for name in readable():
        folder = os.open(name, os.O_PATH | os.O_CLOEXEC)
        kernel.syscall(_RULE, ruleset, 1, struct.pack("=Qi", _READ, folder), 0)
        os.close(folder)
    if kernel.syscall(_RESTRICT, ruleset, 0):
        raise NoWalls("Landlock's rules cannot be put in force")
    os.close(ruleset)


def _close_calls(kernel: ctypes.CDLL) -> None:
    program = call_filter()
    kept = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(kept))
    if kernel.prctl(_SET_SECCOMP, 2, header, 0, 0):
        raise NoWalls("the kernel does not filter system calls")


def call_filter() -> bytes:
    """The filter of system calls as a program for the kernel."""
    steps = [(_LOAD, 0, 0, 4), (_EQUALS, 1, 0, _ARCHITECTURE), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    # Another numbering of the same machine.
    steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    for call in _ALLOWED:
        steps += [(_EQUALS, 0, 1, call), (_RETURN, 0, 0, _ALLOW)]
    for call, choices in ((_FCNTL, _FCNTL_ALLOWED), (_IOCTL, _IOCTL_ALLOWED)):
        inner = [(_LOAD, 0, 0, 24)]
        for choice in choices:
            inner += [(_EQUALS, 0, 1, choice), (_RETURN, 0, 0, _ALLOW)]
        inner.append((_RETURN, 0, 0, _REFUSE))
        steps += [(_EQUALS, 0, len(inner), call), *inner]
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("HBBI", *step) for step in steps)

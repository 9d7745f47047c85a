"""Starts a program as several processes of one job, as torchrun would."""

import signal
import socket
import subprocess
import time

import programs
from programs import environment


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def place(rank, size, port):
    """Returns the environment variables that torchrun sets for a process."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


class Job:
    """A program in `size` processes. The output of process r goes to stdout-r.txt and stderr-r.txt."""

    def __init__(self, command, size, folder):
        self.folder, self.size = folder, size
        port = free_port()
        self.processes = []
        for rank in range(size):
            with open(folder / f"stdout-{rank}.txt", "wb") as out, open(folder / f"stderr-{rank}.txt", "wb") as err:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        cwd=folder,
                        env={**environment(), **place(rank, size, port), "OMP_NUM_THREADS": "1"},
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                    )
                )

    def said(self, rank, stream="stderr"):
        return (self.folder / f"{stream}-{rank}.txt").read_text(encoding="utf-8")

    def wait_until(self, condition):
        def holds():
            for rank, process in enumerate(self.processes):
                assert process.poll() is None, self.said(rank)
            return condition()

        programs.wait_until(holds)

    def send(self, signal_number, rank):
        self.processes[rank].send_signal(signal_number)

    def end(self, within=120):
        """Waits for all processes and returns their exit statuses."""
        deadline = time.monotonic() + within
        try:
            return [process.wait(timeout=max(0.1, deadline - time.monotonic())) for process in self.processes]
        finally:
            for process in self.processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait()


def done(command, size, folder):
    """Runs a job, all of whose processes must succeed; returns the output of the first."""
    job = Job(command, size, folder)
    statuses = job.end()
    assert statuses == [0] * size, [job.said(rank) for rank in range(size)]
    return job.said(0, "stdout")

"""Compares Hessian-vector products and probes of other tools with ours: same model, weights, data and threads, in float32.

Usage: hvp.py BIN [--device cpu|cuda] [--case NAME] [--rounds N] [--seconds S] [--skip-products] [--skip-probe] [--all-probes]
              [--json FILE]

BIN is the folder of this project's programs. There are two Hessians: that of each sequence's loss with respect to the residual
before layer 0, with one product for all sequences at once; and that of the mean loss with respect to all parameters. Each
contender runs in its own process, so that its memory can be measured. The contenders run in turn, so that a slow moment of the
machine affects all of them; ratios are ratios of medians. First, products are compared with ours.

Then each finds the eigenvalue of largest magnitude before every layer and before the final norm, for each sequence, to the same
residual, with its own solver or else with SciPy's eigsh. Our time is that of hessian-probe including start-up and run file, for that
end of the spectrum and for both. The times of the others exclude importing, loading, and runs whose settings proved too loose. Peak
memory is that of the whole process. The residual does not tell which eigenvalue was found, so the last column is the relative
difference of its magnitude from ours.

On a CUDA device only products of the activation Hessian are measured, with models of a size for GPUs, compared with PyTorch and, if
its CUDA plugin is installed, JAX. The memory is then that of the device, which JAX does not report.
"""

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy

import subject
from gpt import Architecture
from process_memory import memory_status
from timing import comparison_parser

HERE = Path(__file__).resolve().parent
RESIDUAL_TOLERANCE = 1e-3
PRODUCT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    architecture: Architecture
    sequences: int
    tokens: int
    parameter_vectors: int  # several vectors of a large model and their products do not fit in memory together
    quick_probe: bool


CASES = {
    "llama2-20M-prenorm": Case(Architecture("llama2", "prenorm", 256, 4, 4, 768, 256, 4096), 4, 128, 8, True),
    "llama2-20M-simplegpt": Case(Architecture("llama2", "simplegpt", 256, 4, 4, 768, 256, 4096), 4, 128, 8, True),
    "gpt2-124M-prenorm": Case(Architecture("gpt2", "prenorm", 768, 12, 12, 3072, 256, 1024), 2, 128, 1, False),
}
CUDA_CASES = {
    "llama2-134M-prenorm": Case(Architecture("llama2", "prenorm", 768, 12, 12, 2048, 32000, 4096), 4, 256, 1, False),
    "llama2-271M-simplegpt": Case(Architecture("llama2", "simplegpt", 1024, 16, 16, 2816, 32000, 4096), 4, 256, 1, False),
}
ACTIVATION_VECTORS = 8


@dataclass(frozen=True)
class Contender:
    name: str
    implementation: str | None  # a class for worker.py; None for ours
    several: dict  # the way it multiplies several vectors, by Hessian
    solver: str
    exact: bool = True


LOOP = {"activation": "loop", "parameters": "loop"}
CONTENDERS = [
    Contender("ours", None, {"activation": "together", "parameters": "together"}, "Lanczos"),
    Contender("PyTorch double backward", "contenders.DoubleBackward", LOOP, "eigsh"),
    Contender("PyHessian", "contenders.PyHessian", LOOP, "its power iteration"),
    Contender("hessian-eigenthings", "contenders.EigenthingsAutograd", LOOP, "its Lanczos"),
    Contender("hessian-eigenthings, differences", "contenders.EigenthingsFiniteDifference", LOOP, "its Lanczos", exact=False),
    Contender("curvlinops", "contenders.Curvlinops", {"activation": "loop, one graph", "parameters": "together"}, "eigsh"),
    Contender("JAX", "contender_jax.Jax", {"activation": "together", "parameters": "together"}, "eigsh"),
]
CUDA_CONTENDERS = {"ours", "PyTorch double backward", "JAX"}
PACKAGES = ["torch", "pyhessian", "hessian-eigenthings", "curvlinops-for-pytorch", "jax", "scipy"]


class Worker:
    """The process of a contender. Its first answer tells that everything is loaded."""

    def __init__(self, contender, programs, folder, kind, device):
        self.name = contender.name
        if contender.implementation is None:
            files = [folder / "model.safetensors", folder / "data.safetensors", subject.vectors_path(folder, kind)]
            command = [programs / "hvp_times", *files, kind, device]
        else:
            # Suppresses PyTorch's warnings about PyHessian.
            command = [sys.executable, "-W", "ignore", HERE / "worker.py", contender.implementation, folder, kind, device]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"hvp.py: {self.name}: its process has ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def jax_has_cuda():
    check = "import jax; raise SystemExit(jax.default_backend() != 'gpu')"
    return subprocess.run([sys.executable, "-c", check], stderr=subprocess.DEVNULL).returncode == 0


def contenders_on(device):
    if device == "cpu":
        return CONTENDERS
    absent = set() if jax_has_cuda() else {"JAX"}
    return [contender for contender in CONTENDERS if contender.name in CUDA_CONTENDERS - absent]


def difference(path, reference_path):
    """Returns the largest relative difference between the products in two files."""
    products, reference = subject.read_vectors(path), subject.read_vectors(reference_path)
    flat = lambda tensors: numpy.concatenate([tensors[name].flatten(1).numpy() for name in reference], 1)
    expected = flat(reference)
    return (numpy.linalg.norm(flat(products) - expected, axis=1) / numpy.linalg.norm(expected, axis=1)).max().item()


def measure_products(programs, folder, kind, counts, options):
    """Returns table rows for one Hessian: memory, seconds per vector for each count of vectors, and difference from ours."""
    contenders = contenders_on(options.device)
    workers = [Worker(contender, programs, folder, kind, options.device) for contender in contenders]
    for worker in workers:
        worker.answer()
    rows = []
    for contender, worker in zip(contenders, workers):
        row = {"contender": contender.name, "several": contender.several[kind], "peak_bytes": {}, "seconds": {}, "difference": 0.0}
        for count in counts:
            file = folder / ("ours.safetensors" if worker is workers[0] else "theirs.safetensors")
            row["peak_bytes"][count] = worker.ask("product", count, file)
        if worker is not workers[0]:
            row["difference"] = difference(file, folder / "ours.safetensors")
            if contender.exact and not row["difference"] <= PRODUCT_TOLERANCE:
                raise SystemExit(f"hvp.py: {contender.name}: its product differs from ours by {row['difference']:.1e} ({kind})")
        rows.append(row)
    times = {}
    for _ in range(options.rounds):
        for row, worker in zip(rows, workers):
            for count in counts:
                seconds = worker.ask("time", count, options.seconds) / count
                times.setdefault((row["contender"], count), []).append(seconds)
    for row in rows:
        row["seconds"] = {count: statistics.median(times[row["contender"], count]) for count in counts}
    for worker in workers:
        worker.close()
    return rows


def our_probe(programs, folder, ends):
    files = ["--model", folder / "model.safetensors", "--data", folder / "data.safetensors", "--out", folder / "run.h5"]
    command = [programs / "hessian-probe", *files, "--tol", str(RESIDUAL_TOLERANCE), "--ends", ends, "--overwrite", "--json"]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        peak_bytes = 0
        # Sampled, since the peak that wait4() reports includes this interpreter, from which the process was forked.
        while process.poll() is None:
            peak_bytes = max(peak_bytes, memory_status("VmHWM", process.pid))
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"hvp.py: hessian-probe ended with status {process.returncode}")
        output.seek(0)
        layers = json.load(output)["rows"]
    norms = numpy.array([layer["spectral_norm"] for layer in layers]).ravel()
    residuals = numpy.array([layer["residual_norm"] for layer in layers]).ravel() / norms
    if not all(all(layer["converged"]) for layer in layers):
        raise SystemExit("hvp.py: hessian-probe has norms that are not certified")
    upper = numpy.array([layer["norm_upper"] for layer in layers]).ravel()
    return {
        "seconds": seconds,
        "peak_bytes": peak_bytes,
        "residuals": residuals.tolist(),
        "norms": norms.tolist(),
        "upper": upper.tolist(),
    }


def count_wrong(norms, ours):
    """Returns how many norms lie outside the certified interval of ours, from the norm to its upper bound, by more than the tolerance."""
    low, high = numpy.array(ours["norms"]), numpy.array(ours["upper"])
    return int(((norms < low * (1 - RESIDUAL_TOLERANCE)) | (norms > high * (1 + RESIDUAL_TOLERANCE))).sum())


def peer_probe(contender, programs, folder, ours):
    worker = Worker(contender, programs, folder, "activation", "cpu")
    worker.answer()
    problems, peak_bytes = worker.ask("probe")
    worker.close()
    norms = numpy.abs([problem["eigenvalue"] for problem in problems])
    return {
        "seconds": sum(problem["seconds"] for problem in problems),
        "peak_bytes": peak_bytes,
        "residuals": [problem["residual"] for problem in problems],
        "norms": norms.tolist(),
        "settings": [problem["setting"] for problem in problems],
        "difference": numpy.abs(norms / numpy.array(ours["norms"]) - 1).max().item(),
        "wrong": count_wrong(norms, ours),
    }


def measure_probes(programs, folder):
    """Returns table rows for the probes. Ours runs before each of the others: for the dominant end like them, and for both."""
    runs = {"dominant": [], "both": []}
    rows = []
    for contender in CONTENDERS[1:]:
        for ends, of_ends in runs.items():
            of_ends.append(our_probe(programs, folder, ends))
        row = peer_probe(contender, programs, folder, runs["dominant"][0])
        rows.append({"contender": contender.name, "solver": contender.solver, **row})
    ours = []
    for ends, of_ends in runs.items():
        seconds = statistics.median(run["seconds"] for run in of_ends)
        ours.append({"contender": "ours", "solver": f"Lanczos, {ends}", **of_ends[0], "seconds": seconds, "difference": 0.0, "wrong": 0})
    return [*ours, *rows]


def print_products(title, counts, rows):
    print(f"\n{title}")
    several = f"{counts[-1]} vectors, each" if len(counts) > 1 else ""
    header = f"{'':<32} {'1 vector':>11} {'/ ours':>7}   {several:>18} {'/ ours':>7}  {'':<15}"
    print(f"{header} {'peak of 1':>10} {'of ' + str(counts[-1]):>9} {'difference':>11}")
    for row in rows:
        cells = []
        for count in (1, ACTIVATION_VECTORS):
            width = 11 if count == 1 else 20
            if count not in counts:
                cells.append(f"{'-':>{width}} {'':>7}")
                continue
            seconds = row["seconds"][count]
            cells.append(f"{seconds:>{width - 2}.4f} s {seconds / rows[0]['seconds'][count]:>7.2f}")
        note = row["several"] if len(counts) > 1 else ""
        peaks = [f"{row['peak_bytes'][count] / 2**20:.0f} MiB" for count in counts]
        last = "" if row is rows[0] else f"{row['difference']:.1e}"
        print(f"{row['contender']:<32} {cells[0]} {cells[1]}  {note:<15} {peaks[0]:>10} {peaks[-1]:>9} {last:>11}")


def print_probes(rows):
    problems = len(rows[0]["norms"])
    print(f"\nEigenvalue of largest magnitude of {problems} activation Hessians: every residual, every sequence")
    print(f"{'':<32} {'solver':<20} {'all of it':>9} {'/ ours':>7} {'peak':>9} {'reached':>9} {'worst residual':>15} {'difference':>11} {'wrong':>6}")
    for row in rows:
        reached = f"{sum(residual <= RESIDUAL_TOLERANCE for residual in row['residuals'])}/{problems}"
        ratio = row["seconds"] / rows[0]["seconds"]
        text = f"{row['contender']:<32} {row['solver']:<20} {row['seconds']:>7.2f} s {ratio:>7.2f}"
        text += f" {row['peak_bytes'] / 2**20:>5.0f} MiB {reached:>9}"
        print(f"{text} {max(row['residuals']):>15.1e} {row['difference']:>11.1e} {row['wrong']:>6}", flush=True)


def measure(name, programs, options):
    case = (CASES if options.device == "cpu" else CUDA_CASES)[name]
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        vectors = {"activation": ACTIVATION_VECTORS, "parameters": case.parameter_vectors}
        subject.write(folder, case.architecture, case.sequences, case.tokens, vectors)
        print(f"\n{name}, vocabulary {case.architecture.vocab_size}, {case.sequences} x {case.tokens} tokens")
        titles = {"activation": "Activation Hessians before layer 0, all sequences in one product", "parameters": "Parameter Hessian"}
        kinds = ["activation"] if options.device == "cuda" else list(titles)
        for kind in kinds if not options.skip_products else ():
            counts = sorted({1, vectors[kind]})
            result[kind] = measure_products(programs, folder, kind, counts, options)
            print_products(titles[kind], counts, result[kind])
        if (case.quick_probe or options.all_probes) and not options.skip_probe and options.device == "cpu":
            result["probe"] = measure_probes(programs, folder)
            print_probes(result["probe"])
    return result


def main():
    parser = comparison_parser(__doc__.splitlines()[0], rounds=3, seconds=0.5)
    parser.add_argument("--skip-products", action="store_true")
    parser.add_argument("--skip-probe", action="store_true")
    parser.add_argument("--all-probes", action="store_true", help="also probe the models that take long")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if options.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    else:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # otherwise JAX would reserve most of the device's memory
    cases = CASES if options.device == "cpu" else CUDA_CASES
    if unknown := set(options.case or ()) - set(cases):
        parser.error(f"no case {unknown.pop()!r}; known are {', '.join(cases)}")
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    print(", ".join(f"{package} {version}" for package, version in versions.items()))
    print(f"{threads} threads, float32; seconds are medians of {options.rounds} rounds in turn; memory is what a process grew by")
    results = {name: measure(name, options.programs, options) for name in options.case or cases}
    if options.json:
        report = {"versions": versions, "threads": threads, "rounds": options.rounds, "cases": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

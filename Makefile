# make demo and make test do everything, set-up included; LIBTORCH=/path uses another LibTorch.
PRESET ?= release
BUILD := build/$(PRESET)
# What is built: the five programs, or all with the tests and benchmarks.
TARGET ?= programs

.PHONY: help setup build demo test test-cuda soak bench bench-cuda peers asan fuzz format lint clean

help:
	@echo "make demo    set up, build, train three small models, compare their curvature, search their stable learning rates"
	@echo "make test    set up, build, run all tests;  make test-cuda  those that need a CUDA device"
	@echo "make soak    kill sweeps of a hundred runs and their runs at random, go on with them, and compare (some minutes)"
	@echo "make build   set up and build (PRESET=release, debug, asan, cuda, ci)"
	@echo "make bench   run the benchmarks;  make bench-cuda  those of a CUDA device, ten minutes, into gpu-measurements.txt"
	@echo "make peers   time training steps, Hessian-vector products and probes beside other tools' (installs them into .venv-peers,"
	@echo "             with PyTorch for CUDA: several GB)"
	@echo "make asan    run the unit tests of the libraries under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz    build the libFuzzer targets (needs clang)"
	@echo "make format  format the sources;  make lint  check them"

setup:
	@scripts/setup.sh

build: setup
	@cmake --preset $(PRESET) >$(if $(VERBOSE),/dev/stderr,/dev/null)
	@cmake --build $(BUILD) --target $(TARGET)

demo: build
	@scripts/demo.sh $(BUILD)

test:
	@scripts/setup.sh --tests
	@$(MAKE) --no-print-directory build TARGET=all
	@ctest --test-dir $(BUILD) --parallel 3 --output-on-failure --no-tests=error

soak:
	@scripts/setup.sh --tests
	@$(MAKE) --no-print-directory build
	@HESSIAN_SOAK_RUNS=$${HESSIAN_SOAK_RUNS:-100} HESSIAN_PROBE=$(BUILD)/bin/hessian-probe PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 \
		.venv/bin/pytest -q -s -p no:cacheprovider tests/cli/test_sweep_soak.py

# Before anything is installed for a device that is not there. /dev/dxg is that of Windows' Linux.
need_cuda_device = [ -n "$$(ls -d /dev/nvidia[0-9]* /dev/dxg 2>/dev/null)" ] || { echo "no CUDA device: $(1)" >&2; exit 1; }

test-cuda:
	@$(call need_cuda_device,nothing tested)
	@scripts/setup.sh --tests --cuda
	@$(MAKE) --no-print-directory build TARGET=all
	@scripts/test_cuda.sh $(BUILD)

bench-cuda:
	@$(call need_cuda_device,nothing measured)
	@scripts/setup.sh --peers --cuda
	@$(MAKE) --no-print-directory build TARGET=all
	@scripts/measure_gpu.sh $(BUILD)

bench:
	@$(MAKE) --no-print-directory build TARGET=all
	@for program in $(filter-out %/bench_exchange,$(wildcard $(BUILD)/bin/bench_*)); do \
	  $$program --benchmark_counters_tabular=true || exit 1; done
	@for processes in 2 4; do scripts/run_job.sh $$processes $(BUILD)/bin/bench_exchange || exit 1; done

peers:
	@$(MAKE) --no-print-directory build TARGET=all
	@scripts/setup.sh --peers
	@.venv-peers/bin/python tests/peers/train_step.py $(BUILD)/bin
	@.venv-peers/bin/python tests/peers/hvp.py $(BUILD)/bin

asan:
	@scripts/setup.sh --clang
	@cmake --preset asan >/dev/null
	@cmake --build build/asan --target test_libhessian test_models test_run_file
	@ctest --test-dir build/asan --parallel 2 --output-on-failure --no-tests=error -R 'test_(libhessian|models|run_file)'

fuzz:
	@scripts/setup.sh --clang
	@cmake --preset fuzz >/dev/null
	@cmake --build build/fuzz --target libfuzzer_safetensors_header libfuzzer_torch_archive libfuzzer_token_stream

format:
	@scripts/setup.sh --lint
	@scripts/lint.sh --fix

lint:
	@scripts/setup.sh --lint
	@scripts/lint.sh

clean:
	rm -rf build

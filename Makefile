# `make demo` and `make test` do everything, set-up included. LIBTORCH=/path builds against another LibTorch.
PRESET ?= release
BUILD := build/$(PRESET)
# The target to build: `programs` for the six programs, or `all` for tests and benchmarks as well.
TARGET ?= programs

.PHONY: help setup build demo test test-cuda soak bench bench-cuda peers asan fuzz coverage docs format lint clean

help:
	@echo "make demo        set up, build, train three small models, compare their curvature and largest stable rates"
	@echo "make test        set up, build, run all tests"
	@echo "make build       set up and build the six programs; TARGET=all adds tests and benchmarks;"
	@echo "                 PRESET=release (default), debug, asan, cuda or ci"
	@echo "make test-cuda   run the tests that need a CUDA device"
	@echo "make soak        kill and resume a sweep of a hundred runs at random, and compare its results with an undisturbed sweep"
	@echo "                 (some minutes)"
	@echo "make asan        run the unit tests of the libraries, and the fuzzers of the parsers for some seconds each, under"
	@echo "                 AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz        build the libFuzzer targets"
	@echo "make coverage    print the line coverage of libhessian and models by their unit tests"
	@echo "make bench       run the benchmarks"
	@echo "make bench-cuda  run the benchmarks of a CUDA device and write gpu-measurements.txt (ten minutes)"
	@echo "make peers       time training steps, products, probes and tokenizers, and compare with other tools; installs them"
	@echo "                 into .venv-peers (several GB: PyTorch for CUDA is among them)"
	@echo "make docs        build the reference of the public headers in build/docs"
	@echo "make lint        check the layout of the sources, common mistakes, and which room includes which"
	@echo "make format      format the sources"
	@echo "make clean       delete all build folders"

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

# Fails early, before anything is installed, if the machine has no CUDA device. /dev/dxg is the device of WSL 2.
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
	@.venv-peers/bin/python tests/peers/tokenize_text.py $(BUILD)/bin

asan:
	@scripts/setup.sh --clang
	@cmake --preset asan >/dev/null
	@cmake --build build/asan --target test_libhessian test_models test_run_file fuzzers
	@ctest --test-dir build/asan --parallel 2 --output-on-failure --no-tests=error -R '^(test_(libhessian|models|run_file)|fuzz_.*)$$'

fuzz:
	@scripts/setup.sh --clang
	@cmake --preset fuzz >/dev/null
	@cmake --build build/fuzz --target libfuzzer_safetensors_header libfuzzer_torch_archive libfuzzer_token_stream libfuzzer_tokenizer \
	  libfuzzer_gguf libfuzzer_distributed_metadata

# Deletes the counters of an earlier run, to which new ones would be added. Discards gcov's errors: a test reads the stderr of a
# child that cannot write.
coverage:
	@scripts/setup.sh
	@cmake --preset coverage >/dev/null
	@cmake --build build/coverage --target test_libhessian test_models test_run_file
	@find build/coverage -name '*.gcda' -delete
	@GCOV_ERROR_FILE=/dev/null ctest --test-dir build/coverage --parallel 2 --output-on-failure --no-tests=error -R '^test_(libhessian|models|run_file)$$'
	@scripts/coverage.py build/coverage libhessian models

docs:
	@scripts/setup.sh --docs
	@mkdir -p build/docs
	@{ cat Doxyfile; echo 'INPUT += $(wildcard experiments/include)'; } | doxygen -
	@echo "build/docs/html/index.html"

format:
	@scripts/setup.sh --lint
	@scripts/lint.sh --fix

lint:
	@scripts/setup.sh --lint
	@scripts/lint.sh

clean:
	rm -rf build

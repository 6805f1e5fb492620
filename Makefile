# SPDX-License-Identifier: Apache-2.0
# What one does with this project; CI does the same. Each verb sets up what it needs (scripts/setup) and asks nothing.
# ARGS='...' goes to the program behind the verb.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build chat test examples lint format tsan asan chaos counts bench clean measured-programs

# Read by the Package.swift files: warnings are errors here, and never for those who depend on us.
export WERROR := 1

# A sanitizer's build would take turns with the plain one in the same folder: each has its own.
TSAN := --sanitize=thread --scratch-path .build-tsan
ASAN := --sanitize=address --scratch-path .build-asan
CHAOS := --traits FaultInjection --scratch-path .build-chaos
IN_EXAMPLES := --package-path Examples
MEASURED := Examples/.build/release/echo --port 0
EACH_SWIFT_FILE := find . \( -name '.build*' -o -name .git \) -prune -o -name '*.swift' -print0 | xargs -0

help: ## list the verbs (this is the default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build the library, warnings as errors
	@scripts/setup libuv
	swift build $(ARGS)

chat: ## host a chat on 127.0.0.1:7777 and join it from here; ARGS='join HOST:PORT' only joins
	@scripts/setup libuv git
	@echo 'building the chat' >&2
	@log=$$(swift build $(IN_EXAMPLES) --product chat 2>&1 </dev/null) || { echo "$$log" >&2; exit 1; }
	@exec Examples/.build/debug/chat $(ARGS)

test: ## run the library's tests; ARGS='--filter TEXT' some of them
	@scripts/setup libuv
	swift test $(ARGS)

examples: ## build the examples and run their tests
	@scripts/setup libuv git nc socat
	swift test $(IN_EXAMPLES) $(ARGS)

lint: ## check the format of all Swift files, and that no line ends in white space
	@scripts/setup
	@$(EACH_SWIFT_FILE) swift format lint --strict --parallel
	@! grep -rIn --exclude-dir='.build*' --exclude-dir=.git '[[:blank:]]$$' .
	@echo 'lint: nothing found'

format: ## format all Swift files
	@scripts/setup
	@$(EACH_SWIFT_FILE) swift format format --in-place --parallel

tsan: ## run the library's tests under the thread sanitizer
	@scripts/setup libuv
	swift build --build-tests $(TSAN)
	swift test --skip-build $(TSAN) $(ARGS)

asan: ## run the library's tests under the address sanitizer, with its check for leaks on Linux
	@scripts/setup libuv
	swift test --disable-xctest $(ASAN) $(ARGS)

chaos: ## run the library's tests while system calls fail at random; SEED=N replays a run
	@scripts/setup libuv
	swift build --build-tests $(CHAOS)
	@seed=$${SEED:-$$(date +%s)}; echo "chaos: SEED=$$seed"; \
	  CULVERT_CHAOS_SEED=$$seed swift test --skip-build $(CHAOS) $(ARGS) || { echo "replay: make chaos SEED=$$seed"; exit 1; }

counts: measured-programs ## count what an echo costs in system calls, allocations and descriptors, with bounds (Linux)
	@scripts/setup strace python3
	python3 Benchmarks/counts.py --server '$(MEASURED)' \
	  --max-epoll-ctl 0 --max-mallocs 0 --max-syscalls 2.05 $(ARGS)
	python3 Benchmarks/connections.py --server '$(MEASURED)'

bench: measured-programs ## compare the CPU time of one echo with that of the C reference (Linux)
	@scripts/setup python3
	python3 Benchmarks/measure.py --server '$(MEASURED)' $(ARGS)

measured-programs:
	@scripts/setup libuv git cc
	swift build $(IN_EXAMPLES) -c release --product echo --static-swift-stdlib
	@$(MAKE) -s -C Benchmarks

clean: ## remove all that was built
	rm -rf .build .build-* Examples/.build Benchmarks/.build

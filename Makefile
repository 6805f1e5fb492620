# SPDX-License-Identifier: Apache-2.0
# What one does with this project; CI does the same. Each verb sets up what it needs (scripts/setup) and asks nothing.
# ARGS='...' goes to the program behind the verb.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build chat chat-tls web-chat listen-notify test test-libuv examples existing lint format tsan asan chaos stress soak fuzz mutants traits docs api platforms counts bench bench-http clean measured-programs

# Read by the Package.swift files: warnings are errors here, and never for those who depend on us.
export WERROR := 1

# A sanitizer's build would take turns with the plain one in the same folder: each has its own.
TSAN := --sanitize=thread --scratch-path .build-tsan
ASAN := --sanitize=address --scratch-path .build-asan
CHAOS := --traits FaultInjection --scratch-path .build-chaos
STRESS := -c release -Xswiftc -enable-testing --traits FaultInjection --scratch-path .build-stress
IN_EXAMPLES := --package-path Examples
IN_EXISTING := --package-path Examples/Existing
EXISTING := Examples/Existing/.build/debug
HTTP_ECHO := Examples/Existing/.build/release/http-echo --port 0 --quiet
# What the tests need. Who uses Culvert without CulvertTLS needs libuv alone.
TESTS_NEED := libuv openssl curl python3
IN_BENCHMARKS := --package-path Benchmarks
STATIC := -c release --static-swift-stdlib
MEASURED := Examples/.build/release/echo --port 0
# All tests at once would queue up at the Swift runtime's locks and for descriptors. Not every Swift can be told.
WIDTH := --experimental-maximum-parallelization-width
FEW_AT_ONCE = $(shell swift test --help-hidden 2>&1 | grep -o -m 1 -e '$(WIDTH)' | sed 's/$$/ 4/')
EACH_SWIFT_FILE := find . \( -name '.build*' -o -name .git \) -prune -o -name '*.swift' -print0 | xargs -0

help: ## list the verbs (this is the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## build the library, warnings as errors
	@scripts/setup libuv openssl
	swift build $(ARGS)

# Builds one program of a package; of what the build prints only a failure is of interest.
quietly_build = echo 'building $(2)' >&2; log=$$(swift build $(1) --product $(2) 2>&1 </dev/null) || { echo "$$log" >&2; exit 1; }

chat: ## host a chat on 127.0.0.1:7777 and join it from here; ARGS='join HOST:PORT' only joins
	@scripts/setup libuv openssl git
	@$(call quietly_build,$(IN_EXAMPLES),chat)
	@exec Examples/.build/debug/chat $(ARGS)

web-chat: ## the chat for browsers and terminals; ARGS='--cluster redis://HOST:PORT' shares its rooms with others (Linux)
	@scripts/setup libuv git hiredis
	@$(call quietly_build,$(IN_EXISTING),web-chat)
	@exec $(EXISTING)/web-chat $(ARGS)

listen-notify: ## hear what is told to a channel of PostgreSQL, of a server that is started for it (Linux)
	@scripts/setup libuv git libpq postgres
	@$(call quietly_build,$(IN_EXISTING),listen-notify)
	@Examples/Existing/scripts/postgres with $(EXISTING)/listen-notify $(or $(ARGS),--count 1000)

chat-tls: ## host a chat over TLS, with a certificate for a day; it says how to join
	@scripts/setup libuv openssl git
	@swift build $(IN_EXAMPLES) --product chat >&2
	@mkdir -p .build/chat-tls && cd .build/chat-tls && \
	  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 1 \
	  -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2>/dev/null
	@echo "to join: make chat ARGS='join --tls --trust .build/chat-tls/cert.pem localhost:7777'" >&2
	@exec Examples/.build/debug/chat serve $(ARGS) --tls .build/chat-tls/cert.pem .build/chat-tls/key.pem

test: ## run the library's tests; ARGS='--filter TEXT' some of them
	@scripts/setup $(TESTS_NEED)
	swift test $(FEW_AT_ONCE) $(ARGS)

test-libuv: ## run them on the libuv installed at DIR, with io_uring and without (Linux; scripts/build-libuv)
	@scripts/test-libuv '$(DIR)' $(ARGS)

examples: ## build the examples and run their tests
	@scripts/setup libuv openssl git nc socat python3 ss iperf3
	swift test $(IN_EXAMPLES) $(ARGS)

existing: ## build what shows existing software on Culvert, and run its tests; with a browser if there is one (Linux)
	@scripts/setup libuv git nc curl wrk libpq hiredis postgres redis-server
	CULVERT_ARTEFACTS=$(CURDIR)/.build-ci swift test $(IN_EXISTING) $(ARGS)

lint: ## check the format of all Swift files, and that no line ends in white space
	@scripts/setup
	@$(EACH_SWIFT_FILE) swift format lint --strict --parallel
	@! grep -rIn --exclude-dir='.build*' --exclude-dir=.git '[[:blank:]]$$' .
	@echo 'lint: nothing found'

format: ## format all Swift files
	@scripts/setup
	@$(EACH_SWIFT_FILE) swift format format --in-place --parallel

tsan: ## run the library's tests under the thread sanitizer
	@scripts/setup $(TESTS_NEED)
	swift build --build-tests $(TSAN)
	swift test --skip-build $(FEW_AT_ONCE) $(TSAN) $(ARGS)

asan: ## run the library's tests under the address sanitizer, with its check for leaks on Linux
	@scripts/setup $(TESTS_NEED)
	LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/leaks.txt:print_suppressions=0 swift test --disable-xctest $(FEW_AT_ONCE) $(ASAN) $(ARGS)

chaos: ## run the library's tests while system calls fail at random; SEED=N replays a run
	@scripts/setup $(TESTS_NEED)
	swift build --build-tests $(CHAOS)
	@seed=$${SEED:-$$(date +%s)}; echo "chaos: SEED=$$seed"; \
	  CULVERT_CHAOS_SEED=$$seed swift test --skip-build $(FEW_AT_ONCE) $(CHAOS) $(ARGS) || { echo "replay: make chaos SEED=$$seed"; exit 1; }

stress: ## run the tests with the hazards' full counts, one after the other, in a release build; some 20 minutes
	@scripts/setup $(TESTS_NEED)
	CULVERT_STRESS=1 swift test --no-parallel $(STRESS) $(ARGS)

soak: ## run 2,000 connections with random ends and faults for MINUTES=10; nothing may be left, no byte wrong
	@scripts/setup $(TESTS_NEED)
	@swift build --build-tests $(CHAOS)
	@seed=$${SEED:-$$(date +%s)}; echo "soak: SEED=$$seed"; \
	  CULVERT_SOAK_MINUTES=$${MINUTES:-10} CULVERT_CHAOS_SEED=$$seed swift test --skip-build $(CHAOS) --filter SoakTests

fuzz: ## look for inputs that break lines, frames or addresses, for SECONDS=60 each, and for planted bugs (Linux)
	@scripts/setup libuv openssl python3
	@scripts/fuzz --seconds $(or $(SECONDS),60) $(ARGS)

mutants: ## break the library on purpose, and see that its tests notice; ARGS='--only TEXT' some of them
	@scripts/setup $(TESTS_NEED)
	@scripts/mutants $(ARGS)

docs: ## compile the documentation; warnings, and public symbols without any, are errors
	@scripts/setup libuv git python3
	@scripts/docs build

api: ## compare the public interface with docs/api.txt; ARGS=--accept writes that anew
	@scripts/setup libuv git python3
	@scripts/docs api $(ARGS)

platforms: ## compile the C code for macOS, musl and arm64, and check the types of the Swift code for macOS (Linux)
	@scripts/setup libuv python3 pip3
	@scripts/platforms

traits: ## test the bridges to other packages: no trait, each trait, all; ARGS=--every for each set of them
	@scripts/setup libuv git
	scripts/traits $(ARGS)

counts: measured-programs ## count what echoes, connections and time limits cost, with bounds (Linux)
	@scripts/setup strace python3 valgrind
	cd Benchmarks && python3 -m unittest
	python3 Benchmarks/counts.py --server '$(MEASURED)' --parts request,instructions,connection,idle \
	  --max-epoll-ctl 0 --max-mallocs 0 --max-more-syscalls 0.05 --max-instructions 1900 --check-growth \
	  --max-connection-mallocs 5.2 --max-more-connection-syscalls 1 $(ARGS)
	python3 Benchmarks/counts.py --server 'Benchmarks/.build/release/culvert-echo chunk' --parts memory \
	  --max-connection-bytes 1800
	python3 Benchmarks/connections.py --server '$(MEASURED)'
	python3 Benchmarks/timeouts.py Examples/.build/release/timeouts

bench: measured-programs ## measure beside C, tokio and SwiftNIO, and write docs/benchmarks.md; some 15 minutes (Linux)
	@scripts/setup strace python3 valgrind
	swift build $(IN_BENCHMARKS) $(STATIC)
	@scripts/setup tokio || echo 'no tokio here: it is not measured' >&2
	@Benchmarks/build-tokio
	python3 Benchmarks/bench.py $(ARGS)

bench-http: ## compare FlyingFox on Culvert's pool with FlyingFox on its own (Linux)
	@scripts/setup libuv git cc wrk python3
	swift build $(IN_EXISTING) -c release --product http-echo
	@$(MAKE) -s -C Benchmarks
	python3 Benchmarks/measure_http.py --reference '$(HTTP_ECHO) --pool own' --server '$(HTTP_ECHO)' $(ARGS)

measured-programs:
	@scripts/setup libuv openssl git cc
	swift build $(IN_EXAMPLES) $(STATIC)
	swift build $(IN_BENCHMARKS) $(STATIC) --product culvert-echo
	@$(MAKE) -s -C Benchmarks

clean: ## remove all that was built
	rm -rf .build .build-* Examples/.build Examples/Existing/.build Benchmarks/.build

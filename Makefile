# Two commands for a newcomer: `make demo` and `make test`. Each is safe to run again.
.DEFAULT_GOAL := build
.PHONY: setup build demo test check sanitize interop bench evaluation fuzz format lint rig package clean

setup:
	@tools/setup
build: setup
	@tools/build release
demo: setup
	@tools/build release stillwatch
	@tools/demo
test: build
	@tools/setup test
	@tools/test
check: test lint sanitize interop
sanitize: setup
	@tools/setup test
	@tools/build asan-ubsan
	@PRESET=asan-ubsan tools/test
	@tools/build tsan
	@PRESET=tsan tools/test
interop: build
	@tools/setup interop
	@tests/interop/run
	@tests/interop/gateways
	@tests/interop/taxii
	@tests/interop/stix/run
	@tests/interop/misp/run
bench:
	@tools/setup bench
	@tools/build release
	@tools/build bench
	@tools/bench
fuzz:
	@tools/setup fuzz
	@tools/build fuzz
	@tools/fuzz
format:
	@tools/setup lint
	@tools/lint --fix
lint: build
	@tools/setup lint
	@tools/lint
evaluation: build
	@tools/evaluation
package: build
	@packaging/package
rig: build
	@tools/rig "$(RIG)"
clean:
	@rm -rf build build-*

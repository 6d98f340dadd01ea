# A table of contents: the work is in tests/tools/.
SHELL := /bin/bash
tool := ./tests/tools
.DEFAULT_GOAL := help
.PHONY: help setup demo test thorough lint unit sanity integration fleet molecule build bench clean

help:         ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup:        ## packages, virtual environment, search path (quick when nothing changed)
	@$(tool)/setup.sh

demo: setup   ## the demonstration, on this machine
	@$(tool)/demo.sh

test: setup   ## every check but the thorough ones, in order, with the time of each
	@$(tool)/test.sh

thorough: setup ## what takes too long for make test: twenty nodes, lost hosts, scenarios and sanity on both cores
	@VVTV_TEST_EXAMPLES=500 $(tool)/unit.sh
	@$(tool)/sanity.sh
	@$(tool)/molecule.sh
	@MARKED=thorough CORES=oldest $(tool)/integration.sh -k "not twenty"
	@MARKED="not both_cores" CORES=newest $(tool)/integration.sh -k "playbooks and not twenty"
	@MARKED=thorough $(tool)/fleet.sh -k "not twenty"
	@MARKED=thorough CORES=oldest $(tool)/integration.sh -k twenty # these leave no time to others
	@MARKED=thorough $(tool)/fleet.sh -k twenty

lint: setup   ## ruff, mypy, yamllint, ansible-lint, shellcheck, documentation, project rules
	@$(tool)/lint.sh

unit: setup   ## unit tests, on the newest ansible-core and on the oldest Python of a node
	@$(tool)/unit.sh

sanity: setup ## ansible-test sanity, on the newest and the oldest ansible-core
	@$(tool)/sanity.sh

integration: setup ## modules and playbooks against simulated nodes
	@$(tool)/integration.sh

fleet: setup  ## real nodes: systemd and sshd in containers, over SSH; what breaks them; and molecule
	@$(tool)/fleet.sh
	@$(tool)/molecule.sh

molecule: setup ## of these the Molecule scenarios alone, on the newest and the oldest ansible-core
	@$(tool)/molecule.sh

build: setup  ## the collection's tarball, installed elsewhere and tried there
	@$(tool)/build.sh

bench: setup  ## the backup engine beside the shell pipeline (SIZE=512M ROUNDS=5 JOURNAL=both PROFILE=0)
	@$(tool)/bench.sh

clean:        ## stop the demo's nodes, remove build/ and .venv/
	@$(tool)/clean.sh

#!/bin/sh
# Runs pytest under coverage and ends as it does, with its own last line: coverage.sh COMMAND...
# What was covered, in processes that the tests start too, is in reports/coverage.txt; too little of it is status 2.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
rm -f .coverage .coverage.*
echo "coverage will be in reports/coverage.txt"
"$@"
$python -m coverage combine --quiet
$python -m coverage report >reports/coverage.txt || { status=$?; tail -3 reports/coverage.txt >&2; exit $status; }

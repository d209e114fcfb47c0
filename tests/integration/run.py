#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run the integration tests: the built nsbox against real servers on loopback.

usage: run.py --prefix DIR [-j N] [--list] [--keep] [--slowness X] [--long] [-v] [PATTERN...]
Prints `ok NAME`, `not ok NAME: why` or `skip NAME: why` for each test."""
import argparse
import glob
import importlib
import os
import resource
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from harness import registry  # noqa: E402
from harness.pki import Pki   # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--prefix', required=True)
    parser.add_argument('--dir', default=HERE, help='where the test_*.py files are')
    parser.add_argument('-j', '--jobs', type=int, default=2)
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--keep', action='store_true', help='keep the directories of failed tests')
    parser.add_argument('--slowness', type=float, default=1.0, help='factor for time limits (sanitizers: 4)')
    parser.add_argument('--long', action='store_true', help='the long form of the tests that have one (leaks)')
    parser.add_argument('-v', '--verbose', action='store_true', help='also print what good tests said (numbers)')
    parser.add_argument('patterns', nargs='*')
    options = parser.parse_args()
    if options.long:
        os.environ['NSBOX_TEST_LONG'] = '1'
    sys.path.insert(0, options.dir)
    for path in sorted(glob.glob(os.path.join(options.dir, 'test_*.py'))):
        importlib.import_module(os.path.basename(path)[:-3])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    directory = tempfile.mkdtemp(prefix='nsbox-pki-')
    try:
        sys.exit(1 if registry.run_all(options, Pki(directory)) else 0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == '__main__':
    main()

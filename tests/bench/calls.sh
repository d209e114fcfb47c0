#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a call costs (calls.py): run.sh --only calls, with the same options.
exec sh "$(dirname "$0")/run.sh" --only calls "$@"

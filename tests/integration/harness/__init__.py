# SPDX-License-Identifier: Apache-2.0
"""What the tests share: certificates, origin servers, the nsbox runner, and the test registry."""

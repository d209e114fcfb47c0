/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSBOX_TESTS_FAKE_CLOCK_H
#define NSBOX_TESTS_FAKE_CLOCK_H

/* The monotonic clock of this program stands still but for this. */
void fake_clock_move(unsigned us);

#endif

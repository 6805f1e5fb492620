// SPDX-License-Identifier: Apache-2.0
// Where threads sleep that wait for a lock: a few words for the whole process, so that a lock itself is one word that need
// not even have an address.
#ifndef CULVERT_LOT_H
#define CULVERT_LOT_H

#include <stdint.h>

/// A reading of the key's place, to be taken before the last look at what is waited for.
uint32_t culvert_lot_ticket(uintptr_t key);
/// Sleeps until somebody has called `culvert_lot_wake` for the key, or for another one that shares its place, since the
/// ticket was taken.
void culvert_lot_wait(uintptr_t key, uint32_t ticket);
void culvert_lot_wake(uintptr_t key);
/// Tells the processor that this thread only looks again and again.
void culvert_pause(void);

#endif

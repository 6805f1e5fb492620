/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/time.h>
#include <hiredis/hiredis.h>

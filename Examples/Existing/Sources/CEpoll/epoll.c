/* SPDX-License-Identifier: Apache-2.0
 * A target needs a source; all is in the header. */
#include "epoll.h"

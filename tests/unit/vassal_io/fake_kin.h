/* fake_kin.h - what the fake controller and its descendants share. */
#ifndef DZ_TESTS_UNIT_VASSAL_IO_FAKE_KIN_H
#define DZ_TESTS_UNIT_VASSAL_IO_FAKE_KIN_H

#include "tests/unit/vassal_io/fake.h"

/* End this process, with a word, when something is not as it must be. */
void fake_need(bool is_fine, const char *what);
void fake_say(int channel, const struct dz_msg *msg, const int *fds, size_t fd_count);
/* The life of a seed; does not return. */
void fake_seed(const struct fake_plan *plan, int channel, int life);
/* Send a channel to a new agent along a life-line. */
void fake_pass_channel(int life, int fd);

#endif

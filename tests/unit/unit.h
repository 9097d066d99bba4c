/* unit.h - cmocka, with the headers that it wants before it. */
#ifndef DZ_TESTS_UNIT_UNIT_H
#define DZ_TESTS_UNIT_UNIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define assert_ok(rc) assert_int_equal((rc), DZ_OK)

#endif

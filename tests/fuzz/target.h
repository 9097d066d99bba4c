/* target.h - what a fuzz target offers: to libFuzzer, or to driver.c. */
#ifndef DZ_TESTS_FUZZ_TARGET_H
#define DZ_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
